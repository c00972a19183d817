"""What the three servers have in common: prepare, start, wait until it answers, stop."""

import os
import re
import shutil
import signal
import subprocess
import time

from . import probe
from .common import (
    LOOPBACK,
    NotToBeHad,
    ServiceError,
    last_lines,
    number_from_env,
    say,
    services_dir,
)
from .process import Process

POLL_S = 0.1


class Service:
    """A server that this program can start. Subclasses fill in what differs."""

    name = ""  # as the user types it
    address_env = ""  # names an existing server to be used instead
    port_env = ""
    default_port = 0

    def __init__(self):
        self.port = number_from_env(self.port_env, self.default_port, 1024, 65000)
        self.directory = services_dir() / self.name
        self.data = self.directory / "data"
        self.process = Process(self.directory)

    # What subclasses give.
    def title(self):
        """Name and version."""
        raise NotImplementedError

    def own_address(self):
        """The address of our own server, as address_env would hold it."""
        raise NotImplementedError

    def ask(self, address):
        """Raises probe.NoAnswer until the server at the address answers rightly."""
        raise NotImplementedError

    def prepare(self):
        """Downloads and builds what is missing; NotToBeHad when that cannot be done here."""
        raise NotImplementedError

    def command(self):
        """The command line; also writes what configuration the server reads."""
        raise NotImplementedError

    def ports(self):
        return [self.port]

    def is_new(self):
        """Whether there is no data yet."""
        return not self.data.exists()

    def after_first_start(self):
        """What a new, empty server is told once."""

    def needs_restart(self):
        """Why the running server does not fit what is asked for, or None."""
        return None

    def exports(self):
        """Further variables for `env`."""
        return {}

    # What is the same for all.
    def named(self):
        """The existing server that the environment names, or None. `env` prints our own address
        under the same name, so our own address does not count as somebody else's."""
        address = os.environ.get(self.address_env, "")
        return None if address in ("", self.own_address()) else address

    def address(self):
        return self.named() or self.own_address()

    def check_named(self):
        try:
            self.ask(self.named())
        except (probe.NoAnswer, ValueError) as error:
            raise ServiceError(
                f"{self.name}: {self.address_env}={self.named()} names a server that does "
                f"not answer: {error}. Start it, or unset {self.address_env} to get one "
                "here."
            ) from None
        say(f"{self.name:<9} {self.named():<46} yours ({self.address_env}); it answers")

    def launch(self):
        """Starts the process, without waiting for it."""
        for port in self.ports():
            if not probe.port_is_free(LOOPBACK, port):
                raise ServiceError(
                    f"{self.name}: port {port} is taken by {probe.port_owner(port)}. Stop that, or choose "
                    f"another port with {self.port_env}, or use that server with {self.address_env}."
                )
        new = self.is_new()
        self.data.mkdir(parents=True, exist_ok=True)
        try:
            command = self.command()
            self.process.start(command, {"title": self.title(), "address": self.own_address()})
        except ServiceError:
            if new:
                shutil.rmtree(self.data, ignore_errors=True)
            raise
        return new

    def wait_ready(self, new, started_s):
        patience_s = number_from_env("GAVEL_SERVICES_TIMEOUT_S", 90, 1, 3600)
        deadline = started_s + patience_s
        while True:
            if self.process.pid() is None:
                raise ServiceError(
                    f"{self.name}: it ended while starting. Its log, {self.process.log}, "
                    f"ends:\n{last_lines(self.process.log)}"
                )
            try:
                self.ask(self.own_address())
                break
            except probe.NoAnswer as error:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"{self.name}: no right answer within {patience_s} s ({error}); it is left running. "
                        f"Its log, {self.process.log}, ends:\n{last_lines(self.process.log)}"
                    ) from None
            time.sleep(POLL_S)
        if new:
            self.after_first_start()
        say(
            f"{self.name:<9} {self.own_address():<46} {self.title()}, ready after "
            f"{time.monotonic() - started_s:.1f} s"
        )

    def stop(self, how=signal.SIGTERM):
        ended = self.process.end(how)
        say(f"{self.name:<9} {ended or 'was not running'}")

    def status_line(self):
        """(whether it runs and answers, in words)"""
        if self.named():
            where, title, state = self.named(), f"yours ({self.address_env})", "answers"
        elif self.process.pid() is None:
            return False, f"{self.name:<9} not running"
        else:
            record = self.process.record()
            where, title = record["address"], record["title"]
            state = f"answers, pid {record['pid']}, {self.process.memory_mib()} MiB"
        try:
            self.ask(where)
            answers = True
        except (probe.NoAnswer, ValueError) as error:
            answers, state = False, f"runs, but does not answer: {error}"
        return answers, f"{self.name:<9} {where:<46} {title}: {state}"


def java():
    """The java to use, which must be 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    found = (
        f"{home}/bin/java"
        if home and os.access(f"{home}/bin/java", os.X_OK)
        else shutil.which("java")
    )
    if not found:
        raise NotToBeHad(
            "java is missing: run `board/mainhost/services install`, or install a Java 17"
        )
    text = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', text)
    if not version or int(version.group(1)) < 17:
        raise NotToBeHad(
            f"{found} is not a Java 17 or newer: run `board/mainhost/services install`, or set "
            "JAVA_HOME"
        )
    return found


def maven():
    found = shutil.which("mvn")
    if not found:
        raise NotToBeHad("mvn is missing: run `board/mainhost/services install`, or install Maven")
    return found
