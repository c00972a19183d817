#!/usr/bin/env python3
"""A minimal Confluent-compatible Schema Registry that fails on demand.

Prints one line, "a PORT b PORT tls PORT": three addresses of one registry, on loopback; ends when
its standard input does. --port P gives "a" a fixed port; --standalone ends on SIGTERM alone.

POST /_control takes JSON, any of: "faults": [{"kind": "status"|"garbage"|"html"|"huge"|"slow"|"hang"|
"close", "at": "a", "match": "/subjects", "times": 2, "status": 503, "body": {...}, "retry_after": 5,
"ms": 300}], "auth": ["user", "password"], "incompatible": "why", "forget": true (all schemas),
"next_id": 100. What is not given stays. GET /_control: {"requests": [...], "subjects": {...}}.
"""

import argparse
import base64
import http.server
import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
lock = threading.Lock()
subjects = {}  # subject -> list of ids, oldest first
schemas = {}  # id -> text
state = {"faults": [], "auth": None, "incompatible": None, "next_id": 1}
requests = []


def canonical(text):
    return json.dumps(json.loads(text), sort_keys=True)


def id_of(text):
    for number, known in schemas.items():
        if canonical(known) == canonical(text):
            return number
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_one()

    do_POST = do_GET

    def handle_one(self):
        length = int(self.headers.get("content-length", 0))
        content = self.rfile.read(length)
        if self.path == "/_control":
            return self.control(content)
        with lock:
            requests.append({"at": self.server.name, "method": self.command, "path": self.path})
            fault = self.pick_fault()
        if fault and self.strike(fault):
            return
        with lock:
            status, body = self.answer(content)
        self.reply(status, json.dumps(body).encode())

    def control(self, content):
        with lock:
            if self.command == "POST":
                change = json.loads(content)
                if change.pop("forget", False):
                    subjects.clear()
                    schemas.clear()
                state.update(change)
                requests.clear()
            told = {"requests": list(requests), "subjects": subjects}
        self.reply(200, json.dumps(told).encode())

    def reply(self, status, body, *headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def pick_fault(self):
        for fault in state["faults"]:
            if fault.get("at", self.server.name) == self.server.name and self.path.startswith(fault.get("match", "/")):
                if "times" in fault:
                    fault["times"] -= 1
                    if fault["times"] <= 0:
                        state["faults"].remove(fault)
                return fault
        return None

    def strike(self, fault):
        """Whether the request is done with."""
        kind = fault["kind"]
        if kind == "slow":
            time.sleep(fault.get("ms", 300) / 1000)
            return False
        if kind == "hang":
            self.rfile.read(1)
        if kind in ("hang", "close"):
            self.close_connection = True
        elif kind == "status":
            headers = [("Retry-After", str(fault["retry_after"]))] if "retry_after" in fault else []
            self.reply(fault["status"], json.dumps(fault.get("body", {})).encode(), *headers)
        elif kind == "garbage":
            self.reply(200, b'{"id": 1')
        elif kind == "html":
            self.reply(fault.get("status", 404), b"<html>Not here</html>")
        elif kind == "huge":
            self.reply(200, b'{"id":1,"schema":"' + b"x" * 1000000 + b'"}')
        return True

    def answer(self, content):
        if state["auth"]:
            wanted = "Basic " + base64.b64encode(":".join(state["auth"]).encode()).decode()
            if self.headers.get("authorization") != wanted:
                return 401, {"error_code": 401, "message": "Unauthorized"}
        parts = [urllib.parse.unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]
        if self.command == "GET" and parts[:2] == ["schemas", "ids"]:
            text = schemas.get(int(parts[2]))
            return (200, {"schema": text}) if text else (404, {"error_code": 40403, "message": "Schema not found"})
        if self.command == "GET" and parts == ["subjects"]:
            return 200, sorted(subjects)
        if self.command != "POST" or not content:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        text = json.loads(content)["schema"]
        if parts[0] == "compatibility":
            if parts[2] not in subjects:
                return 404, {"error_code": 40401, "message": "Subject '%s' not found." % parts[2]}
            why = state["incompatible"]
            return 200, {"is_compatible": not why, "messages": [why] if why else []}
        subject, known = parts[1], id_of(text)
        if parts[2:] == ["versions"]:
            if state["incompatible"] and subject in subjects:
                return 409, {"error_code": 409, "message": state["incompatible"]}
            if known is None:
                known = state["next_id"]
                state["next_id"] += 1
                schemas[known] = text
            if known not in subjects.setdefault(subject, []):
                subjects[subject].append(known)
            return 200, {"id": known}
        if subject not in subjects:
            return 404, {"error_code": 40401, "message": "Subject '%s' not found." % subject}
        if known not in subjects[subject]:
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, {"subject": subject, "id": known, "version": subjects[subject].index(known) + 1, "schema": schemas[known]}


def listen(name, port=0, tls=False):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.name = name
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(HERE + "/tls/server.pem", HERE + "/tls/server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "%s %d" % (name, server.server_address[1])


options = argparse.ArgumentParser()
options.add_argument("--port", type=int, default=0)
options.add_argument("--standalone", action="store_true")
options = options.parse_args()
print(listen("a", options.port), listen("b"), listen("tls", tls=True), flush=True)
if options.standalone:
    signal.pause()
sys.stdin.read()
os._exit(0)
