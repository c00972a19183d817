#!/usr/bin/env python3
"""A stand-in for the game API: HTTPS on 127.0.0.1, snapshots from files, faults on demand.

  standin.py --run-dir build/standin                          serves tests/data/sample
  standin.py --run-dir build/standin --generate eu-604:300M   serves a body made to measure

When ready it prints one line of JSON (ports, CA file, credentials) and writes it to
RUN_DIR/standin.json. SIGTERM ends it. README.md has the paths, the control port and the faults.
"""
import argparse
import base64
import binascii
import json
import os
import re
import secrets
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from collections import Counter, deque
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
import certificates  # noqa: E402
import faults  # noqa: E402
from snapshots import REGIONS, Store  # noqa: E402
from transfer import ConnectionSpoilt, Transfer  # noqa: E402

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
NAMESPACE = re.compile(r"dynamic(-classic|-classic1x|-classicann)?-(us|eu|kr|tw)")
SNAPSHOT_PATH = re.compile(r"/data/wow/connected-realm/(\d+)/auctions(?:/([267]))?")
HOUSES_PATH = re.compile(r"/data/wow/connected-realm/(\d+)/auctions/index")
KEPT_REQUESTS = 20_000


class Api:
    """Everything the connections share. `lock` guards all of it but the store's generated files."""

    def __init__(self, store, client_id, client_secret, expires_in_s, rate_per_s, classic):
        self.store, self.classic_namespaces = store, classic
        self.client_id, self.client_secret = client_id, client_secret
        self.expires_in_s, self.rate_per_s = expires_in_s, rate_per_s
        self.framing, self.gzip, self.conditional, self.time_shift_s = "chunked", True, True, 0
        self.lock = threading.Lock()
        self.released = threading.Condition(self.lock)
        self.releases = 0
        self.faults = []
        self.transfers = self.hanging = 0
        self.tokens = {}                  # token -> monotonic time of its end
        self.recent = deque()             # times of API requests of the last second
        self.reset_counters()

    def reset_counters(self):
        self.counts, self.by_path = Counter(), {}
        self.requests = deque(maxlen=KEPT_REQUESTS)
        self.max_transfers = self.transfers

    def control(self, wanted):
        """Carries out a POST /_control. An error names the key; the keys before it were done."""
        store = self.store
        series = wanted.pop("series", None)
        if "hour" in wanted:
            store.set_hour(wanted.pop("hour"), series)
        with self.lock:
            for key, value in wanted.items():
                if key == "fault":
                    self.faults.append(faults.Fault(value))
                elif key == "faults":
                    self.faults = [faults.Fault(spec) for spec in value or []]
                elif key == "release":
                    self.releases += 1
                    self.released.notify_all()
                elif key == "revoke_tokens":
                    self.tokens.clear()
                elif key == "reset_counters":
                    self.reset_counters()
                elif key == "framing" and value in ("chunked", "length"):
                    self.framing = value
                elif key in ("gzip", "conditional"):
                    setattr(self, key, bool(value))
                elif key in ("expires_in_s", "rate_per_s", "time_shift_s"):
                    setattr(self, key, int(value))
                    if key == "rate_per_s":
                        self.recent.clear()
                else:
                    raise ValueError("control does not know %r: %r" % (key, value))

    def state(self):
        with self.lock:
            return {
                "hour": self.store.hour, "hours": self.store.hours,
                "series": {name: each.times() for name, each in sorted(self.store.series.items())},
                "requests": [dict(entry) for entry in self.requests], "counts": dict(self.counts),
                "by_path": {path: dict(statuses) for path, statuses in self.by_path.items()},
                "tokens_issued": self.counts["tokens_issued"],
                "not_modified": self.counts["status_304"], "bytes": self.counts["bytes"],
                "transfers": self.transfers, "max_transfers": self.max_transfers,
                "hanging": self.hanging,
                "faults": [f.describe() for f in self.faults], "releases": self.releases,
                "now": time.monotonic(),
            }

    def begin(self, entry, region, is_token):
        """Lists a request and picks its fault: (fault or None, over the rate limit)."""
        now, path = entry["t"], entry["path"]
        with self.lock:
            self.requests.append(entry)
            self.counts["requests"] += 1
            while self.recent and now - self.recent[0] >= 1:
                self.recent.popleft()
            if not is_token:
                self.transfers += 1
                self.max_transfers = max(self.max_transfers, self.transfers)
                if self.rate_per_s and len(self.recent) >= self.rate_per_s:
                    return None, True
                self.recent.append(now)
            return next((f for f in self.faults if f.takes(path, region)), None), False

    def count_status(self, entry, status):
        """Before the status line is sent: what a client has seen, the counters show."""
        with self.lock:
            entry["status"] = status
            self.counts["status_%d" % status] += 1
            statuses = self.by_path.setdefault(entry["path"], {})
            statuses[str(status)] = statuses.get(str(status), 0) + 1

    def end(self, entry, is_token):
        with self.lock:
            entry["seconds"] = time.monotonic() - entry["t"]
            if not is_token:
                self.transfers -= 1
            self.counts["bytes"] += entry["bytes"]

    def issue_token(self, region, expired):
        token = (region or "eu").upper() + secrets.token_urlsafe(24)
        with self.lock:
            self.counts["tokens_issued"] += 1
            lives_s = 0 if expired else self.expires_in_s
            self.tokens[token] = time.monotonic() + lives_s
        return {"access_token": token, "token_type": "bearer", "expires_in": lives_s,
                "sub": self.client_id}

    def accepts_token(self, header):
        scheme, _, token = header.partition(" ")
        with self.lock:
            ends = self.tokens.get(token.strip(), 0)
        return scheme.lower() == "bearer" and ends > time.monotonic()


class Request(BaseHTTPRequestHandler):
    """One connection of the API's port."""
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def serve(self, method):
        api = self.server.api
        url = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}
        path, self.prefix = url.path, None
        first, _, rest = path[1:].partition("/")
        if first in REGIONS:
            self.prefix, path = first, "/" + rest
        if path == "/oauth/token":
            path = "/token"
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        match = NAMESPACE.fullmatch(self.query.get("namespace", ""))
        self.region = match[2] if match else self.prefix
        self.classic = bool(match and match[1])
        is_token = path == "/token"
        entry = {"t": time.monotonic(), "method": method, "path": path, "region": self.region,
                 "namespace": self.query.get("namespace"), "connection": self.client_address[1],
                 "fault": None, "status": None, "bytes": 0, "complete": False, "seconds": None}
        self.fault, limited = api.begin(entry, self.region, is_token)
        if self.fault:
            entry["fault"] = self.fault.kind
        self.transfer = Transfer(self, entry, self.fault, api)
        try:
            if limited:
                self.error(429, "Too Many Requests")
            elif self.fault and self.fault.kind in faults.REPLY:
                self.faulty_reply()
            elif is_token:
                self.token(method, content)
            elif method != "GET":
                self.error(405, "Method Not Allowed")
            elif not api.accepts_token(self.headers.get("authorization", "")):
                self.error(401, "Unauthorized")
            elif not match or (self.prefix or self.region) != self.region or (
                    self.classic and self.query["namespace"].rpartition("-")[0] not in
                    api.classic_namespaces):
                self.error(404, "Not Found")
            else:
                self.data(path)
        except (ConnectionSpoilt, OSError):
            self.close_connection = True
        finally:
            api.end(entry, is_token)

    def faulty_reply(self):
        fault = self.fault
        if fault.kind == "empty":
            self.transfer.reply(200, [("content-type", "application/json")], b"")
        elif fault.kind == "not-json":
            self.transfer.reply(200, [("content-type", "text/html")], faults.HTML)
        else:
            headers = [] if fault.retry_after is None else [("retry-after", str(fault.retry_after))]
            self.error(fault.status, HTTPStatus(fault.status).phrase, headers)

    def error(self, status, detail, headers=()):
        body = {"code": status, "type": "BLZWEBAPI%08d" % status, "detail": detail}
        self.json(status, body, headers)

    def json(self, status, body, headers=()):
        body = json.dumps(body, separators=(",", ":")).encode()
        if self.fault:
            body = faults.spoil_small(self.fault, body)
        headers = [("content-type", "application/json;charset=utf-8"), *headers]
        self.transfer.reply(status, headers, body)

    def token(self, method, content):
        api = self.server.api
        form = {k: v[0] for k, v in parse_qs(content.decode("latin-1")).items()}
        scheme, _, credentials = self.headers.get("authorization", "").partition(" ")
        try:
            user = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            user = ""
        if method != "POST":
            return self.error(405, "Method Not Allowed")
        if scheme.lower() != "basic" or user != "%s:%s" % (api.client_id, api.client_secret):
            return self.json(401, {"error": "invalid_client",
                                   "error_description": "Bad credentials"})
        if form.get("grant_type", self.query.get("grant_type")) != "client_credentials":
            return self.json(400, {"error": "unsupported_grant_type",
                                   "error_description": "Unsupported grant type"})
        expired = self.fault is not None and self.fault.kind == "expired"
        self.json(200, api.issue_token(self.region, expired), [("cache-control", "no-store")])

    def data(self, path):
        api, region = self.server.api, self.region
        match = SNAPSHOT_PATH.fullmatch(path)
        houses = HOUSES_PATH.fullmatch(path)
        if match and bool(match[2]) == self.classic:
            name = "-".join(filter(None, (region, match[1], match[2])))
            return self.snapshot(api.store.current(name))
        if path == "/data/wow/auctions/commodities" and not self.classic:
            return self.snapshot(api.store.current(region + "-commodities"))
        if path == "/data/wow/connected-realm/index":
            realms = [self.href("/connected-realm/%d" % r) for r in
                      api.store.realms(region, self.classic)]
            return self.json(200, {"_links": {"self": self.href("/connected-realm/")},
                                   "connected_realms": realms})
        if houses and self.classic and api.store.houses(region, houses[1]):
            own = "/connected-realm/%s/auctions/" % houses[1]
            return self.json(200, {"_links": {"self": self.href(own)}, "auctions": [
                {"key": self.href(own + str(h)), "id": h}
                for h in api.store.houses(region, houses[1])]})
        if path == "/data/wow/token/index":
            at = datetime.now(timezone.utc).timestamp() // 1200 * 1200_000
            return self.json(200, {"_links": {"self": self.href("/token/")},
                                   "last_updated_timestamp": int(at), "price": 3_141_590_000})
        return self.error(404, "Not Found")

    def href(self, path):
        return {"href": "https://%s.api.blizzard.com/data/wow%s?namespace=%s"
                        % (self.region, path, self.query["namespace"])}

    def snapshot(self, snapshot):
        api, fault = self.server.api, self.fault
        if snapshot is None:
            return self.error(404, "Not Found")
        modified = snapshot.last_modified(api.time_shift_s)
        etag = snapshot.etag(api.time_shift_s)
        headers = [("content-type", "application/json;charset=utf-8"),
                   ("last-modified", format_datetime(modified, usegmt=True)), ("etag", etag),
                   ("cache-control", "max-age=0"), ("vary", "accept-encoding")]
        if api.conditional and self.is_unmodified(modified, etag):
            return self.transfer.reply(304, headers, None)
        pack = api.gzip and "gzip" in self.headers.get("accept-encoding", "")
        if pack:
            headers.append(("content-encoding", "gzip"))
        if fault and fault.kind == "bad-gzip":
            def pieces():
                return faults.bad_gzip(snapshot.gzipped(), snapshot.gzip_bytes)
            if not pack:
                headers.append(("content-encoding", "gzip"))
        elif fault and fault.kind in faults.CONTENT:
            def pieces():
                spoilt = faults.spoil(fault, snapshot.plain(), snapshot.plain_bytes)
                return faults.gzipped(spoilt) if pack else spoilt
        else:
            pieces = snapshot.gzipped if pack else snapshot.plain
        self.transfer.stream(200, headers, pieces, api.framing == "chunked" or (
            fault is not None and fault.kind == "huge"))

    def is_unmodified(self, modified, etag):
        tags = self.headers.get("if-none-match")
        if tags is not None:
            return any(t.strip().removeprefix("W/") in (etag, "*") for t in tags.split(","))
        try:
            since = parsedate_to_datetime(self.headers["if-modified-since"])
            return modified <= since
        except (TypeError, ValueError):
            return False


class Control(BaseHTTPRequestHandler):
    """The plain-HTTP port that tests steer the stand-in with."""
    protocol_version = "HTTP/1.1"
    timeout = 120

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if urlsplit(self.path).path != "/_control":
            return self.reply(404, {"error": "GET or POST /_control"})
        self.reply(200, self.server.api.state())

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            self.server.api.control(json.loads(text))
        except (ValueError, TypeError, AttributeError) as error:
            return self.reply(400, {"error": str(error)})
        self.reply(200, {"ok": True})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, handler, api, tls=None):
        super().__init__(("127.0.0.1", port), handler)
        self.api, self.tls = api, tls

    def server_bind(self):
        # not HTTPServer's, which looks the host's name up
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address

    def finish_request(self, request, client_address):
        """Runs in the connection's own thread, so a slow handshake holds up nobody."""
        if not self.tls:
            return super().finish_request(request, client_address)
        request.settimeout(30)
        try:
            secure = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            with self.api.lock:
                self.api.counts["handshakes_failed"] += 1
            return
        with self.api.lock:
            self.api.counts["connections"] += 1
        try:
            self.RequestHandlerClass(secure, client_address, self)
        finally:
            secure.close()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run-dir", required=True,
                        help="for certificates, standin.json, generated bodies")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--data", help="directory of snapshot files; default tests/data/sample")
    parser.add_argument("--generate", action="append", default=[], metavar="SERIES:SIZE",
                        help="such as eu-604:50M, us-4440-2:5M, eu-commodities:20M; repeatable")
    parser.add_argument("--generated-dir", help="keeps generated bodies; default RUN_DIR/generated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hour", type=int, default=0)
    parser.add_argument("--client-id", default="standin-id")
    parser.add_argument("--client-secret", default="standin-secret")
    parser.add_argument("--expires-in", type=int, default=86399, metavar="SECONDS")
    parser.add_argument("--rate", type=int, default=100, help="requests a second; 0: no limit")
    parser.add_argument("--framing", choices=("chunked", "length"), default="chunked")
    parser.add_argument("--clients-cipher", action="store_true",
                        help="the client chooses how it is encrypted; else AES goes first")
    parser.add_argument("--time-shift", type=int, default=0, metavar="SECONDS",
                        help="added to every Last-Modified")
    parser.add_argument("--classic-namespace", action="append", metavar="NAME",
                        help="such as dynamic-classic1x; default: all three exist")
    parser.add_argument("--end-with-stdin", action="store_true", help="ends when its input does")
    return parser.parse_args(argv)


def make_store(args):
    store = Store()
    if args.data or not args.generate:
        store.add_directory(args.data or SAMPLE)
    for text in args.generate:
        store.add_generated(text, args.seed, args.generated_dir or Path(args.run_dir) / "generated")
    store.set_hour(args.hour)
    return store


def announce(args, ca, ports):
    about = {"port": ports[0], "control": ports[1], "ca": str(ca),
             "base_url": "https://127.0.0.1:%d" % ports[0],
             "control_url": "http://127.0.0.1:%d/_control" % ports[1],
             "client_id": args.client_id, "client_secret": args.client_secret, "pid": os.getpid()}
    text = json.dumps(about)
    path = Path(args.run_dir) / "standin.json"
    path.with_suffix(".part").write_text(text + "\n")
    path.with_suffix(".part").replace(path)
    print(text, flush=True)
    return path


def main(argv=None):
    args = parse_arguments(argv)
    run_dir = Path(args.run_dir).resolve()
    args.run_dir = run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "standin.json").unlink(missing_ok=True)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    ca, certificate, key = certificates.make(run_dir)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    if args.clients_cipher:
        tls.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        store = make_store(args)
    except (ValueError, OSError, argparse.ArgumentTypeError) as error:
        sys.exit("standin: %s" % error)
    classic = args.classic_namespace or ["dynamic-classic" + s for s in ("", "1x", "ann")]
    api = Api(store, args.client_id, args.client_secret, args.expires_in, args.rate, classic)
    api.framing, api.time_shift_s = args.framing, args.time_shift
    servers = Server(args.port, Request, api, tls), Server(args.control_port, Control, api)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    if args.end_with_stdin:
        threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    path = announce(args, ca, [s.server_port for s in servers])
    ending.wait()
    path.unlink(missing_ok=True)
    sys.stdout.flush()
    os._exit(0)       # connections may hang on purpose; nothing of theirs needs saving


if __name__ == "__main__":
    main()
