"""Sends one reply, framed as HTTP/1.1 wants it, and breaks it where a fault says so."""
import select
import socket
import ssl
import struct
import time
from datetime import datetime, timezone
from email.utils import format_datetime
from http import HTTPStatus

import faults


class ConnectionSpoilt(Exception):
    """The connection was broken on purpose; nothing more is sent on it."""


class Transfer:
    """The entry in the request list grows as the reply does; its bytes are those of the body on the
    wire, without the chunk framing."""

    def __init__(self, request, entry, fault, api):
        self.request, self.entry, self.api = request, entry, api
        self.fault = fault if fault and fault.kind in faults.TRANSPORT else None
        self.chunked = False
        self.break_at = None              # body bytes after which the fault strikes
        self.started = None

    def reply(self, status, headers, body):
        """A short reply. body None: a reply without one (304)."""
        size = None if body is None else len(body)
        self.start(status, headers, size, size)
        if body:
            self.write(body)
        self.finish()

    def stream(self, status, headers, make_pieces, chunked):
        """make_pieces() gives the pieces, anew each time it is called."""
        strikes = self.fault and self.fault.kind != "slow" and self.fault.after is None
        size = sum(map(len, make_pieces())) if strikes or not chunked else None
        self.chunked = chunked
        self.start(status, headers, None if chunked else size, size)
        for piece in make_pieces():
            if piece:
                self.write(piece)
        self.finish()

    def start(self, status, headers, content_length, size):
        if self.fault and self.fault.kind != "slow":
            self.break_at = (size or 0) // 2 if self.fault.after is None else self.fault.after
            if self.break_at < 0:
                self.strike()
        self.api.count_status(self.entry, status)
        lines = ["HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase)]
        lines.append("date: " + format_datetime(datetime.now(timezone.utc), usegmt=True))
        lines += ["%s: %s" % header for header in headers]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        elif content_length is not None:
            lines.append("content-length: %d" % content_length)
        lines.append("connection: " + ("close" if self.request.close_connection else "keep-alive"))
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        self.started = time.monotonic()

    def write(self, data):
        if self.break_at is not None and self.entry["bytes"] + len(data) > self.break_at:
            keep = self.break_at - self.entry["bytes"]
            self.write_now(data[:keep])
            self.strike()
            data = data[keep:]
        if self.fault and self.fault.kind == "slow":
            return self.write_slowly(data)
        self.write_now(data)

    def write_now(self, data):
        if data:
            self.entry["bytes"] += len(data)
            self.send(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def write_slowly(self, data):
        rate = max(1, self.fault.bytes_per_second)
        step = max(1, rate // 20)
        for place in range(0, len(data), step):
            self.write_now(data[place:place + step])
            early = self.started + self.entry["bytes"] / rate - time.monotonic()
            if early > 0:
                time.sleep(early)

    def finish(self):
        if self.break_at is not None:
            self.strike()
        if self.chunked:
            self.send(b"0\r\n\r\n")
        self.entry["complete"] = True

    def send(self, data):
        self.request.wfile.write(data)

    def strike(self):
        """The fault's moment. Only a stall that was released comes back."""
        self.break_at = None
        if self.fault.kind == "stall":
            return self.hang()
        if self.fault.kind == "reset":
            linger = struct.pack("ii", 1, 0)
            self.request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif self.fault.close_notify:
            try:
                self.request.connection.settimeout(1)
                self.request.connection.unwrap()
            except OSError:
                pass
        raise ConnectionSpoilt()

    def hang(self):
        """Until the control port releases, or the other side closes."""
        api, seen = self.api, self.api.releases
        with api.released:
            api.hanging += 1
        try:
            while not self.released_since(seen):
                self.check_connection()
        finally:
            with api.released:
                api.hanging -= 1

    def released_since(self, seen):
        with self.api.released:
            if self.api.releases == seen:
                self.api.released.wait(0.05)
            return self.api.releases != seen

    def check_connection(self):
        connection = self.request.connection
        if select.select([connection], [], [], 0)[0]:
            try:
                connection.settimeout(0.2)
                if not connection.recv(1):
                    raise ConnectionSpoilt()
            except (ssl.SSLWantReadError, socket.timeout):
                pass
            finally:
                connection.settimeout(self.request.timeout)
