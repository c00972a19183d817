"""Starts, steers and stops a stand-in API from Python; for pytest fixtures.

    with StandIn(tmp_path) as api:
        api.control(fault={"kind": "cut", "times": 1})
        ... api.base_url, api.ca, api.client_id, api.client_secret ...
        assert api.state()["counts"]["status_200"] == 2
"""
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "standin.py"


class StandIn:
    def __init__(self, run_dir, *options, python=sys.executable):
        """options go to standin.py's command line, such as "--generate", "eu-604:50M"."""
        self.command = [python, str(PROGRAM), "--run-dir", str(run_dir), "--end-with-stdin",
                        *map(str, options)]
        self.process = None
        self.about = {}

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the stand-in ended with status %d" % self.process.wait())
        self.about = json.loads(line)
        return self

    def stop(self):
        """Returns its exit status."""
        if self.process is None:
            return None
        self.process.terminate()
        status = self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process = None
        return status

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def __getattr__(self, name):
        """port, ca, base_url, control_url, client_id, client_secret, pid"""
        try:
            return self.__dict__["about"][name]
        except KeyError:
            raise AttributeError(name) from None

    def control(self, **wanted):
        """hour=1, fault={...}, faults=[...], release=True ...; see README.md."""
        body = json.dumps(wanted).encode()
        request = urllib.request.Request(self.control_url, body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from None

    def state(self):
        with urllib.request.urlopen(self.control_url, timeout=30) as reply:
            return json.load(reply)

    def wait_until(self, condition, deadline_s=30):
        """Polls state() until condition(state) holds; returns that state."""
        end = time.monotonic() + deadline_s
        while True:
            state = self.state()
            if condition(state):
                return state
            if time.monotonic() > end:
                raise TimeoutError("the stand-in did not get there: %s" % state["counts"])
            time.sleep(0.02)
