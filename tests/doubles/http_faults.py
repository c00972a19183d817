#!/usr/bin/env python3
"""A server that answers as badly as asked, for the tests of agent/net.

Prints one line, "http PORT https PORT elsewhere PORT", on loopback, and ends when its standard
input does. The path says what to do, /kind/number?name=value; see the functions named do_KIND.
Body byte k is pattern(k), so that a client can check every byte without knowing more.
"""

import gzip
import os
import socket
import ssl
import struct
import sys
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = bytes(((i * i * 31 + i * 7 + 3) >> 3) & 255 for i in range(65521))
FLAT = bytes(b"0123456789abcdef"[i % 16] for i in range(65520)) + b"\n"
lock = threading.Lock()
connections = 0
gzipped = {}


def body_bytes(count, start=0, block=BLOCK):
    """Pieces of the body from `start`, `count` bytes in all."""
    at, end = start, start + count
    while at < end:
        offset = at % len(block)
        piece = block[offset : offset + min(end - at, len(block) - offset)]
        yield piece
        at += len(piece)


def gzip_of(count, block=BLOCK):
    key = (count, block is BLOCK)
    with lock:
        if key not in gzipped:
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            parts = [packer.compress(piece) for piece in body_bytes(count, 0, block)]
            gzipped[key] = b"".join(parts) + packer.flush()
        return gzipped[key]


class Closed(Exception):
    pass


class Peer:
    def __init__(self, sock, number):
        self.sock, self.number, self.requests, self.buffer = sock, number, 0, b""

    def read_until(self, mark):
        while mark not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                raise Closed
            self.buffer += more
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def read_exactly(self, count):
        while len(self.buffer) < count:
            more = self.sock.recv(65536)
            if not more:
                raise Closed
            self.buffer += more
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def serve(self):
        while True:
            head = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            self.method, target, _ = head[0].split(" ", 2)
            self.headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:])}
            self.content = self.read_exactly(int(self.headers.get("content-length", 0)))
            self.requests += 1
            path, _, query = target.partition("?")
            self.query = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
            self.target = target
            parts = path.strip("/").split("/")
            number = int(parts[1]) if len(parts) > 1 else 0
            getattr(self, "do_" + parts[0])(number)

    def send(self, data):
        self.sock.sendall(data)

    def head(self, status=200, *lines):
        self.send(("HTTP/1.1 %d Word\r\n" % status + "".join(line + "\r\n" for line in lines) + "\r\n").encode("latin-1"))

    def reply(self, body, status=200, *lines):
        self.head(status, "Content-Length: %d" % len(body), *lines)
        self.send(body)

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self):
        raise Closed

    def wait_for_client_to_go(self):
        while self.sock.recv(65536):
            pass
        raise Closed

    # --- good answers ---
    def do_plain(self, n):
        self.head(200, "Content-Length: %d" % n)
        for piece in body_bytes(n):
            self.send(piece)

    def do_chunked(self, n):
        self.head(200, "Transfer-Encoding: chunked")
        for piece in body_bytes(n):
            self.chunk(piece)
        self.send(b"0\r\nX-Trailer: late\r\n\r\n")

    def do_tiny_chunks(self, n):
        self.head(200, "Transfer-Encoding: chunked")
        self.send(b"".join(b"1\r\n%c\r\n" % piece[i] for piece in body_bytes(n) for i in range(len(piece))))
        self.send(b"0\r\n\r\n")

    def do_gzip(self, n):
        data = gzip_of(n)
        self.head(200, "Transfer-Encoding: chunked", "Content-Encoding: gzip")
        for at in range(0, len(data), 50000):
            self.chunk(data[at : at + 50000])
        self.send(b"0\r\n\r\n")

    def do_flat(self, n):
        """Compresses well: 16 hexadecimal digits over and over."""
        self.reply(gzip_of(n, FLAT), 200, "Content-Encoding: gzip")

    def do_members(self, n):
        half = n // 2
        one = gzip.compress(b"".join(body_bytes(half)))
        two = gzip.compress(b"".join(body_bytes(n - half, half)))
        self.reply(one + two, 200, "Content-Encoding: gzip")

    def do_echo(self, _):
        lines = ["%s %s" % (self.method, self.target)] + ["%s: %s" % item for item in sorted(self.headers.items())]
        self.reply(("\n".join(lines) + "\n\n").encode() + self.content)

    def do_count(self, _):
        self.reply(b"connection %d request %d" % (self.number, self.requests))

    def do_interim(self, n):
        self.send(b"HTTP/1.1 103 Early Hints\r\nEtag: \"wrong\"\r\n\r\n")
        self.head(200, "Content-Length: %d" % n, 'etag: "right"')
        for piece in body_bytes(n):
            self.send(piece)

    def do_etag(self, _):
        lines = ('ETag: W/"abc"', "Last-Modified: Tue, 01 Jul 2014 04:00:00 GMT", "Date: Tue, 01 Jul 2014 04:10:00 GMT")
        if self.headers.get("if-none-match") == 'W/"abc"':
            self.head(304, "Content-Encoding: gzip", "Content-Length: 12345", *lines)
        else:
            self.reply(b"fresh", 200, *lines)

    def do_status(self, n):
        self.reply(b"words", n, "Date: Tue, 01 Jul 2014 04:10:00 GMT", "Retry-After: " + self.query.get("after", "7").replace("_", " "))

    def do_private(self, _):
        good = self.headers.get("authorization") == "Basic dXNlcjpzM2NyZXQ="
        self.reply(b"", 200 if good else 401)

    # --- bad answers ---
    def do_cut(self, n):
        self.head(200, "Content-Length: %d" % (2 * n))
        for piece in body_bytes(n):
            self.send(piece)
        self.close()

    def do_cut_chunked(self, n):
        self.head(200, "Transfer-Encoding: chunked")
        for piece in body_bytes(n):
            self.chunk(piece)
        self.close()

    def do_cut_gzip(self, n):
        data = gzip_of(n)
        self.reply(data[: len(data) - 4], 200, "Content-Encoding: gzip")

    def do_bad_gzip(self, n):
        data = bytearray(gzip_of(n))
        data[-6] ^= 1  # in the checksum
        self.reply(bytes(data), 200, "Content-Encoding: gzip")

    def do_after_gzip(self, n):
        self.reply(gzip_of(n) + b"and more", 200, "Content-Encoding: gzip")

    def do_bomb(self, n):
        self.reply(gzip_of(n, FLAT), 200, "Content-Encoding: gzip")

    def do_brotli(self, _):
        self.reply(b"\x0b\x02\x80", 200, "Content-Encoding: br")

    def do_reset(self, n):
        self.head(200, "Content-Length: %d" % (2 * n))
        for piece in body_bytes(n):
            self.send(piece)
        self.read_until(b"never" * 9) if self.query.get("wait") else time.sleep(0.1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def do_stall(self, n):
        self.head(200, "Content-Length: %d" % (2 * n))
        for piece in body_bytes(n):
            self.send(piece)
        self.wait_for_client_to_go()

    def do_silent(self, _):
        self.wait_for_client_to_go()

    def do_trickle(self, n):
        self.head(200, "Content-Length: %d" % n)
        for i in range(n):
            self.send(BLOCK[i : i + 1])
            time.sleep(0.04)

    def do_redirect(self, _):
        self.reply(b"", 302, "Location: https://user:pw@new.example/place?token=s3cret")

    def do_huge_header(self, n):
        self.send(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * n + b"\r\n\r\n")
        self.wait_for_client_to_go()

    def do_many_headers(self, n):
        self.send(b"HTTP/1.1 200 OK\r\n" + b"X-More: yes\r\n" * n + b"Content-Length: 0\r\n\r\n")

    def do_noise(self, _):
        self.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        self.close()

    def do_bad_chunk(self, n):
        self.head(200, "Transfer-Encoding: chunked")
        for piece in body_bytes(n):
            self.chunk(piece)
        self.send(b"zz\r\n")
        self.wait_for_client_to_go()

    def do_hangup(self, _):
        """Closes the connection after a good answer that promised to keep it."""
        self.reply(b"bye")
        self.close()


def talk(sock, context, number):
    try:
        if context:
            sock = context.wrap_socket(sock, server_side=True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Peer(sock, number).serve()
    except (Closed, OSError):
        pass
    finally:
        sock.close()


def listen(name, certificate):
    global connections
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if os.environ.get("HTTP_FAULTS_TLS12"):
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain("%s/tls/%s.pem" % (HERE, certificate), "%s/tls/%s.key" % (HERE, certificate))
    server = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept():
        global connections
        while True:
            sock, _ = server.accept()
            with lock:
                connections += 1
                number = connections
            threading.Thread(target=talk, args=(sock, context, number), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return "%s %d" % (name, server.getsockname()[1])


print(listen("http", None), listen("https", "server"), listen("elsewhere", "elsewhere"), flush=True)
sys.stdin.read()
os._exit(0)
