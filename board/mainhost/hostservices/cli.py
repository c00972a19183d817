"""The command line: which services, which command, which exit code."""

import argparse
import os
import shlex
import shutil
import signal
import sys
import time

from . import probe
from .common import ServiceError, locked, say, services_dir
from .install import install
from .kafka import Kafka
from .mongo import Mongo
from .registry import Registry

KINDS = {"kafka": Kafka, "registry": Registry, "mongo": Mongo}

HELP = """\
Starts real servers on 127.0.0.1 for gavel's main host and tests, and stops them again.

  up        start what does not run, and wait until it answers
  down      end what `up` started (same as stop)
  status    what runs where; exit code 0 when all of it answers
  env       shell exports: eval "$(board/mainhost/services env)"
  start, stop, restart, kill    single servers; kill is SIGKILL; data is kept
  wipe      stop, then remove data and logs
  install   install java, maven and the like with apt

Existing servers are used instead where GAVEL_KAFKA (host:port), GAVEL_REGISTRY_URL or GAVEL_MONGO_URL
name them. Ports, directories and limits: board/mainhost/README.md.

exit codes: 0 done, 1 something failed, 2 wrong usage, 3 a server cannot be had on this machine
"""


def up(services):
    ours = []
    for service in services:
        if service.named():
            service.check_named()
        else:
            ours.append(service)
    to_start = []
    for service in ours:
        if service.process.pid() is not None:
            why = service.needs_restart()
            if not why:
                answer_or_fail(service)
                continue
            say(f"{service.name:<9} is restarted {why}")
            service.stop()
        to_start.append(service)
    for service in to_start:  # before any is started: all can be had, or none is started
        service.prepare()
    launched = []
    for service in to_start:
        started_s = time.monotonic()
        launched.append((service, service.launch(), started_s))
    for service, new, started_s in launched:
        service.wait_ready(new, started_s)


def answer_or_fail(service):
    """A server that runs already: it may still be starting, so it gets the same patience."""
    try:
        service.ask(service.own_address())
        say(f"{service.name:<9} {service.own_address():<46} {service.title()}, runs already")
    except probe.NoAnswer:
        service.wait_ready(False, time.monotonic())


def down(services):
    for service in reversed(services):
        service.stop()


def restart(services):
    down(services)
    up(services)


def kill(services):
    for service in services:
        service.stop(signal.SIGKILL)


def wipe(services):
    down(services)
    for service in services:
        shutil.rmtree(service.directory, ignore_errors=True)


def status(services):
    lines = [service.status_line() for service in services]
    for _, text in lines:
        say(text)
    say(f"data and logs: {services_dir()}")
    if not all(answers for answers, _ in lines):
        raise SystemExit(1)


def env(services):
    for service in services:
        for name, value in {service.address_env: service.address(), **service.exports()}.items():
            say(f"export {name}={shlex.quote(str(value))}")


COMMANDS = {
    "up": up,
    "start": up,
    "down": down,
    "stop": down,
    "restart": restart,
    "kill": kill,
    "wipe": wipe,
    "status": status,
    "env": env,
}


def known_service(name):
    if name not in KINDS:
        raise argparse.ArgumentTypeError(f"no service {name!r}: expected {', '.join(KINDS)}")
    return name


def main(words):
    parser = argparse.ArgumentParser(
        prog="services", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=[*COMMANDS, "install"], metavar="command")
    parser.add_argument(
        "service",
        nargs="*",
        type=known_service,
        metavar="kafka|registry|mongo",
        help="only these (default: all)",
    )
    parser.add_argument(
        "--secure",
        action="store_true",
        help="up: Kafka also listens with SSL, SASL_PLAINTEXT and SASL_SSL",
    )
    given = parser.parse_args(words)
    if given.secure:
        os.environ["GAVEL_KAFKA_SECURE"] = "1"
    try:
        if given.command == "install":
            install()
            return 0
        services = [
            kind() for name, kind in KINDS.items() if not given.service or name in given.service
        ]
        if given.command in ("env", "status"):
            COMMANDS[given.command](services)
        else:
            with locked(services_dir() / "lock"):
                COMMANDS[given.command](services)
    except ServiceError as error:
        print(f"services: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0
