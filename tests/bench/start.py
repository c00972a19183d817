#!/usr/bin/env python3
"""From the start to the first request, and the memory of an agent that has nothing to do and of one that works.

Starts each program several times, in turns, with an empty state directory: the time until its first request (for a
token, over HTTPS) has arrived at the stand-in API, its memory then, when it has forwarded a body and waits for the
next, and at its peak. The broker and registry are those that GAVEL_KAFKA and GAVEL_REGISTRY_URL name, or
gavel-embedded's mock broker. The host's build (glibc, shared) is the bar for what ships for a PC (musl, static).

usage: start.py [--runs 15] [--size 20M] [PROGRAM...]    default: build/host, build/amd64, build/amd64-tls, those
that are there (toolchains/build amd64)
"""
import argparse
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from agent import FIRST_REALM, TOP, Broker, StandIn, write_config

DEADLINE_S, POLL_S = 60, 0.002
BUILDS = ("host", "amd64", "amd64-tls")


def memory_kib(child, name):
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1])


def wait_said(child, log, words):
    """Until the program's log has the words."""
    end = time.monotonic() + DEADLINE_S
    while words not in log.read_text():
        if child.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"start.py: it never said {words!r}:\n{log.read_text()}")
        time.sleep(POLL_S)


def one_run(program, api, config, log):
    """(ms to the first request, KiB then, KiB when it waits again, KiB at the peak)"""
    api.control(reset_counters=True)
    with open(log, "wb") as out:
        began_s = time.monotonic()
        child = subprocess.Popen([program, "run", "--config", config], stdin=subprocess.DEVNULL, stderr=out)
    try:
        first = api.wait_until(lambda state: state["requests"])["requests"][0]
        asking_kib = memory_kib(child, "VmRSS")
        wait_said(child, log, "snapshot forwarded")
        return ((first["t"] - began_s) * 1000, asking_kib, memory_kib(child, "VmRSS"), memory_kib(child, "VmHWM"))
    finally:
        child.terminate()
        child.wait()


def report(program, runs):
    ms, asking, idle, peak = zip(*runs)
    least, median, most = min(ms), statistics.median(ms), max(ms)
    memory = "".join(f"{statistics.median(each) / 1024:>9.2f}" for each in (asking, idle, peak))
    label = str(program).removeprefix(f"{TOP}/")
    print(f"{label:<26}{least:>9.1f}{median:>9.1f}{most:>9.1f}  {memory}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=TOP / "build" / "host", help="of gavel-embedded")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--size", default="20M")
    parser.add_argument("programs", nargs="*", type=Path, metavar="PROGRAM")
    args = parser.parse_args()
    programs = args.programs or [path for path in (TOP / "build" / name / "bin" / "gavel" for name in BUILDS)
                                 if path.exists()]
    kept = TOP / "build" / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Broker(args.build.resolve()) as broker, \
            StandIn(kept / "standin", "--generate", f"eu-{FIRST_REALM}:{args.size}") as api:
        runs = {program: [] for program in programs}
        for program in programs * args.runs:
            with tempfile.TemporaryDirectory(dir=scratch) as state:
                config = Path(scratch) / "gavel.json"
                write_config(config, api, broker, [FIRST_REALM], state_dir=state)
                runs[program].append(one_run(program, api, config, Path(scratch) / "log"))
    print(f"broker: {'real, ' + broker.brokers if broker.real else 'embedded mock'}; body of {args.size}; "
          f"{args.runs} runs\n{'':<26}{'ms to the first request':>27}{'MiB, medians':>27}\n"
          f"{'':<26}{'least':>9}{'median':>9}{'most':>9}{'asking':>11}{'waiting':>9}{'peak':>9}")
    for program in programs:
        report(program, runs[program])


if __name__ == "__main__":
    main()
