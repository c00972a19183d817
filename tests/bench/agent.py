#!/usr/bin/env python3
"""The whole agent: peak memory, records a second and CPU over bodies of growing size.

Fetches generated bodies over HTTPS from the stand-in API and forwards them to the broker that
GAVEL_KAFKA and GAVEL_REGISTRY_URL name, or to gavel-embedded's mock broker.

usage: agent.py [--build build/host] [--sizes 10M 50M 300M] [--limit-kib 12288]
Exit code 1 when memory is over the limit, or differs by more than 1 MiB between the sizes.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "doubles" / "api"))

from standin_client import StandIn  # noqa: E402  (needs the path above)

FLAT_KIB = 1024
FIRST_REALM = 9001  # of the generated series; one realm a size


class Broker:
    """The named broker and registry, or embedded ones for as long as this object is open."""

    def __init__(self, build):
        self.process = None
        self.brokers = os.environ.get("GAVEL_KAFKA")
        self.registry = os.environ.get("GAVEL_REGISTRY_URL")
        self.real = bool(self.brokers and self.registry)
        if not self.real:
            self.process = subprocess.Popen([build / "bin" / "gavel-embedded", "bench"],
                                            stdout=subprocess.PIPE)
            said = json.loads(self.process.stdout.readline())
            self.brokers, self.registry = said["brokers"], said["registry"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()


def write_config(path, api, broker, realms, **more):
    for name in ("client_id", "client_secret"):
        secret = path.parent / name
        secret.touch(mode=0o600)
        secret.write_text(getattr(api, name))
    path.write_text(json.dumps({
        "state_dir": str(path.parent / f"state-{'-'.join(map(str, realms))}"),
        "sources": [{"region": "eu", "realms": realms}],
        "api": {"base_url": api.base_url, "token_url": api.base_url + "/token", "ca_file": api.ca,
                "client_id": f"file:{path.parent}/client_id",
                "client_secret": f"file:{path.parent}/client_secret", "stale_after_ms": 0},
        "kafka": {"brokers": broker.brokers, "topic_prefix": "bench", "create_topics": broker.real},
        "registry": {"urls": [broker.registry]},
        **more,
    }))


def run_gavel(command, config, good=(0,)):
    """One pass: what it logged, and what it used. The command is the program, after what runs it."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([*command, "once", "--no-progress", "--config", config], stderr=log,
                                 stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode()
    if child.returncode not in good:
        raise SystemExit(f"gavel ended with {child.returncode}:\n{text}")
    return text, used


def logged(text, message):
    """The numbers of the last line with that message."""
    lines = [line for line in text.splitlines() if f"msg={message}" in line]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)\b", lines[-1])}


def run_agent(gavel, config):
    """(peak KiB, records, megabytes, milliseconds, CPU seconds) of one pass."""
    text, used = run_gavel([gavel], config)
    ended = logged(text, "stopped")
    spent_ms = max(int(ms) for ms in re.findall(r'msg="snapshot forwarded".* ms=(\d+)', text))
    return (ended["peak_memory_kib"], ended["records_acked"], ended["bytes_in"] / 1e6, spent_ms,
            used.ru_utime + used.ru_stime)


def report(label, peak_kib, records, megabytes, spent_ms, cpu_s):
    print(f"{label:<12}{megabytes:>9.0f} MB{records:>10} records{peak_kib / 1024:>8.2f} MiB peak"
          f"{records / spent_ms * 1000:>11.0f} records/s{megabytes / spent_ms * 1000:>7.0f} MB/s"
          f"{cpu_s / records * 1e6:>7.2f} CPU s/million", flush=True)


def measure(args, api, broker, scratch):
    gavel = args.build / "bin" / "gavel"
    realms = [FIRST_REALM + i for i in range(len(args.sizes))]
    passes = [(size, [realm]) for size, realm in zip(args.sizes, realms)] + [("at once", realms)]
    peaks = []
    for label, asked in passes:
        config = scratch / "gavel.json"
        write_config(config, api, broker, asked)
        figures = run_agent(gavel, config)
        peaks.append(figures[0])
        report(label, *figures)
    return peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=TOP / "build" / "host")
    parser.add_argument("--sizes", nargs="+", default=["10M", "50M", "300M"])
    parser.add_argument("--limit-kib", type=int, default=12288)
    args = parser.parse_args()
    args.build = args.build.resolve()
    series = [word for i, size in enumerate(args.sizes)
              for word in ("--generate", f"eu-{FIRST_REALM + i}:{size}")]
    kept = TOP / "build" / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Broker(args.build) as broker, \
            StandIn(kept / "standin", *series) as api:
        print(f"broker: {'real, ' + broker.brokers if broker.real else 'embedded mock'}")
        peaks = measure(args, api, broker, Path(scratch))
    spread_kib = max(peaks[:-1]) - min(peaks[:-1])
    print(f"memory: at most {max(peaks) / 1024:.2f} MiB of {args.limit_kib / 1024:.0f}; "
          f"{spread_kib} KiB between the smallest and the largest body")
    return 0 if max(peaks) <= args.limit_kib and spread_kib <= FLAT_KIB else 1


if __name__ == "__main__":
    sys.exit(main())
