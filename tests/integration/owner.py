"""The owner of boards: signs updates on its own (BUNDLE.md, no code of ours), and publishes them on a web
server that says what was asked for."""
import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

MAGIC = b"gavel-config 1\n"


class Owner:
    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key = base64.b64encode(der).decode()
        self.key_id = hashlib.sha256(der).hexdigest()[:16]

    def sign(self, version, config, **manifest):
        """The bundle of an update: for all, or for targets={...}."""
        text = config if isinstance(config, bytes) else json.dumps(config).encode()
        about = {"version": version, "config_bytes": len(text),
                 "config_sha256": hashlib.sha256(text).hexdigest(),
                 "signed_at": "2026-11-27T01:00:00Z",
                 **({} if "targets" in manifest else {"all": True}), **manifest}
        about = json.dumps(about, separators=(",", ":")).encode()
        r, s = utils.decode_dss_signature(self.private.sign(MAGIC + about, ec.ECDSA(hashes.SHA256())))
        return MAGIC + b"key %s\nsignature %064x%064x\nmanifest %05d\nconfig %05d\n%s%s" % (
            self.key_id.encode(), r, s, len(about), len(text), about, text)


class Folder:
    """A published folder, as any web server would show it."""

    def __init__(self):
        folder = self
        self.files, self.requests, self.failing = {}, [], False

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = folder.files.get(self.path.lstrip("/"))
                tag = '"%s"' % hashlib.sha256(body or b"").hexdigest()[:20]
                status = (503 if folder.failing else 404 if body is None
                          else 304 if self.headers["If-None-Match"] == tag else 200)
                folder.requests.append((self.path, status))
                self.send_response(status)
                self.send_header("ETag", tag)
                sent = body if status == 200 else b""
                if status != 304:
                    self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, bundle, path="all.gavel"):
        self.files[path] = bundle

    def statuses(self, path="all.gavel"):
        return [status for at, status in list(self.requests) if at == "/" + path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
