"""A stand-in for the agent's HTTP server: serves the page, and whatever a test wants it to tell.

The page's Content-Security-Policy is worked out here on its own, from the page's text alone: only the one
style and the one script that are in it may be used, and nothing may come from elsewhere.
"""
import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "agent" / "status" / "page.html"
SAMPLES = TOP / "tests" / "status" / "samples"


def sample(name):
    return json.loads((SAMPLES / (name + ".json")).read_text(encoding="utf-8"))


def policy(page):
    def only(tag):
        inside = re.search(r"<%s>(.*?)</%s>" % (tag, tag), page, re.S)[1]
        return "'sha256-%s'" % base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    return ("default-src 'none'; style-src %s; script-src %s; img-src data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % (only("style"), only("script")))


class PageServer:
    """`status`: what /status.json tells, an object or bytes; None: no connection is answered.
    `delay`: an event that answers wait for."""

    def __init__(self):
        self.status, self.code, self.asked, self.delay = None, 200, 0, None
        self.changed = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/" % self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def answer(self, request):
        if request.path == "/":
            page = PAGE.read_text(encoding="utf-8")
            return self.send(request, 200, page.encode(), "text/html; charset=utf-8",
                             {"Content-Security-Policy": policy(page), "X-Content-Type-Options": "nosniff"})
        if request.path != "/status.json":
            return self.send(request, 404, b"", "text/plain")
        with self.changed:
            self.asked += 1
            self.changed.notify_all()
        if self.delay:
            self.delay.wait(60)
        if self.status is None:
            request.close_connection = True
            return request.connection.close()
        body = self.status if isinstance(self.status, bytes) else json.dumps(self.status).encode()
        return self.send(request, self.code, body, "application/json")

    def wait_asked(self, more_than):
        with self.changed:
            assert self.changed.wait_for(lambda: self.asked > more_than, 30), "the page has not asked"

    @staticmethod
    def send(request, code, body, kind, more=None):
        request.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **(more or {})}.items():
            request.send_header(name, str(value))
        request.end_headers()
        request.wfile.write(body)

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
