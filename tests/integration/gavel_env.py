"""What the end-to-end tests run against: real servers, the stand-in API, the agent and the sink.

Every test has a World: a directory, topics, a consumer group and a database of its own, and the
programs it has started. Nothing here waits for a fixed time: conditions are polled, with a deadline.

Environment: GAVEL_BUILD (directory of the programs, default build/host), GAVEL_TEST_KEEP (leaves the
servers running at the end, and takes those that run), GAVEL_TEST_PORT (first of ten ports, 29090).
"""
import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / os.environ.get("GAVEL_BUILD", "build/host")
GAVEL, SINK = BUILD / "bin" / "gavel", BUILD / "bin" / "gavel-sink"
sys.path[:0] = [str(TOP / "tests" / "doubles" / "api"), str(TOP / "tests" / "data")]

from standin_client import StandIn  # noqa: E402  (needs the path above)

POLL_S = 0.02
DEADLINE_S = 60
SECRET = "e2e-secret-that-no-log-may-show"
# A sanitizer's report must not pass for one of the exit codes 0, 1 and 2.
SANITIZER = {"ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99"}


def until(condition, what, deadline_s=DEADLINE_S, poll_s=POLL_S):
    """The condition's value as soon as it is true."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("within %d s it did not happen: %s" % (deadline_s, what))
        time.sleep(poll_s)


class Services:
    """A set of real servers that belongs to these tests alone."""

    def __init__(self):
        first = int(os.environ.get("GAVEL_TEST_PORT", "29090"))
        directory = TOP / "build" / ("services-e2e-%d" % first)
        own = {"GAVEL_SERVICES_DIR": str(directory), "GAVEL_KAFKA_SECURE": "1",
               "GAVEL_KAFKA_PORT": str(first), "GAVEL_REGISTRY_PORT": str(first + 5),
               "GAVEL_MONGO_PORT": str(first + 6)}
        others = ("GAVEL_KAFKA", "GAVEL_REGISTRY_URL", "GAVEL_MONGO_URL")
        self.env = {**{k: v for k, v in os.environ.items() if k not in others}, **own}
        self.exports = {}

    def run(self, *words):
        """(exit code, output)"""
        done = subprocess.run([TOP / "board" / "mainhost" / "services", *words], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def do(self, *words):
        code, text = self.run(*words)
        assert code == 0, text

    def pid(self, name):
        return int(re.search(r"^%s .* pid (\d+)" % name, self.run("status")[1], re.M)[1])

    def read_exports(self):
        lines = re.findall(r"^export (\w+)='?([^'\n]*)'?$", self.run("env")[1], re.M)
        self.exports = dict(lines)
        self.kafka = self.exports["GAVEL_KAFKA"]
        self.registry = self.exports["GAVEL_REGISTRY_URL"]
        self.mongo = self.exports["GAVEL_MONGO_URL"]


class Program:
    """A process of ours and its log. logfmt lines are searched as text."""

    def __init__(self, command, log, env=None, pass_fds=()):
        self.log_path = Path(log)
        self.out_path = self.log_path.with_suffix(".out")
        with open(self.log_path, "ab") as err, open(self.out_path, "ab") as out:
            self.start_at, self.out_at = err.tell(), out.tell()
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, **SANITIZER, **(env or {})}, pass_fds=pass_fds)
        self.pid = self.process.pid

    def log(self):
        """Of this process, not of earlier ones with the same file."""
        with open(self.log_path, "rb") as file:
            file.seek(self.start_at)
            return file.read().decode()

    def out(self):
        """Its standard output, as log()."""
        with open(self.out_path, "rb") as file:
            file.seek(self.out_at)
            return file.read().decode()

    def mark(self):
        """A place in the log to search from."""
        return len(self.log())

    def wait_log(self, pattern, since=0, deadline_s=DEADLINE_S):
        """The first match of the pattern in the log; fails at once when the program has ended."""
        def found():
            ended = self.process.poll()
            match = re.search(pattern, self.log()[since:])
            assert match or ended is None, "ended with %s before its log said %r:\n%s" % (
                ended, pattern, self.log()[-3000:])
            return match
        try:
            return until(found, "log line %r" % pattern, deadline_s)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.log()[-3000:])) from None

    def is_alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, deadline_s=DEADLINE_S):
        """Its exit status; minus the number of the signal that ended it."""
        return self.process.wait(deadline_s)

    def stop(self):
        """Asks it to end, and says how it did."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.process.kill()
        self.wait()


def merged(base, changes):
    """Objects are merged, everything else is replaced; None removes."""
    out = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


class World:
    count = 0
    sink_program, sink_wrapper = SINK, ()  # a wrapper: the command that starts the program

    def __init__(self, directory, services):
        World.count += 1
        name = "t%d-%d" % (os.getpid(), World.count)
        self.directory, self.services = Path(directory), services
        self.prefix, self.group, self.database = name, name + "-sink", name
        self.state = self.directory / "state"
        self.raw, self.rejects, self.ledger, self.dead = (
            "%s.%s" % (name, part) for part in ("raw", "rejects", "snapshots", "dead-letters"))
        self.api = None
        self.gavel, self.emulator = GAVEL, ()  # of another processor: with the command that runs it
        self.programs = []
        self.settings = {}
        self.path = self.directory / "gavel.json"

    # --- the stand-in API
    def serve(self, *options):
        self.api = StandIn(self.directory / "api", *options).start()
        return self.api

    def serve_body(self, body, name="eu-604-20140701T003001Z.json.gz", more=()):
        """Serves these very bytes; more: further (name, body)."""
        import gzip
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        for each, content in [(name, body), *more]:
            (data / each).write_bytes(gzip.compress(content, 1))
        return self.serve("--data", data)

    # --- configuration
    def defaults(self):
        about = self.api.about if self.api else {"base_url": "https://127.0.0.1:1", "ca": ""}
        return {
            "state_dir": str(self.state), "device_id": "e2e",
            "sources": [{"region": "eu", "realms": [604]}],
            "api": {
                "base_url": about["base_url"] + "/{region}", "token_url": about["base_url"] + "/token",
                "client_id": "env:E2E_CLIENT_ID", "client_secret": "env:E2E_CLIENT_SECRET",
                "ca_file": about["ca"], "retry_min_ms": 50, "retry_max_ms": 400,
                "stall_timeout_ms": 1500, "late_poll_min_ms": 200, "late_poll_max_ms": 400},
            "kafka": {"brokers": self.services.kafka, "topic_prefix": self.prefix,
                      "properties": {"reconnect.backoff.max.ms": 500}},
            "registry": {"urls": [self.services.registry], "retry_min_ms": 100, "retry_max_ms": 500},
            "status": {"listen": "127.0.0.1:0"},
            "sink": {"group": self.group},
            "mongo": {"uri": self.services.mongo, "database": self.database},
        }

    def configure(self, **changes):
        """Writes the configuration file: the defaults, earlier changes, these changes."""
        self.settings = merged(self.settings, changes)
        partial = self.path.with_suffix(".new")
        partial.write_text(json.dumps(merged(self.defaults(), self.settings), indent=1))
        partial.rename(self.path)
        return self.path

    def secrets(self):
        about = self.api.about if self.api else {}
        return {"E2E_CLIENT_ID": about.get("client_id", "id"),
                "E2E_CLIENT_SECRET": about.get("client_secret", SECRET)}

    # --- programs
    def launch(self, program, *words, log, env=None, wrapper=(), **options):
        """wrapper: a command that starts the program."""
        if not self.path.exists():
            self.configure()
        started = Program([*wrapper, program, *words, "--config", self.path], self.directory / log,
                          {**self.secrets(), **(env or {})}, **options)
        self.programs.append(started)
        return started

    def agent(self, env=None, wrapper=(), **options):
        return self.launch(self.gavel, "run", log="agent.log", env=env,
                           wrapper=(*wrapper, *self.emulator), **options)

    def sink(self, env=None):
        return self.launch(self.sink_program, "run", log="sink.log", env=env, wrapper=self.sink_wrapper)

    def once(self, expect=0, deadline_s=120):
        """One pass of the agent; its log."""
        program = self.launch(self.gavel, "once", log="once.log", wrapper=self.emulator)
        code = program.wait(deadline_s)
        assert code == expect, program.log()[-3000:]
        return program.log()

    def load(self, deadline_s=240, expect=0):
        """The sink until there is nothing left; what it printed."""
        program = self.launch(self.sink_program, "run", "--until-idle", log="load.log",
                              wrapper=self.sink_wrapper)
        code = program.wait(deadline_s)
        assert code == expect, program.log()[-3000:]
        return program.out()

    def audit(self):
        """(exit code, its snapshots by name)"""
        done = subprocess.run([*self.sink_wrapper, self.sink_program, "audit", "--json", "--config", self.path],
                              capture_output=True, env={**os.environ, **SANITIZER}, text=True, timeout=60)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, {each["snapshot"]: each for each in json.loads(done.stdout)}

    def close(self):
        for program in self.programs:
            if program.is_alive():
                program.kill()
        if self.api:
            self.api.stop()
