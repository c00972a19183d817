#!/usr/bin/env python3
"""An outage of the broker: what the agent writes to the disk, how fast it catches up, what memory it takes.

Each round fetches the same generated body three times over: with no broker (it goes to the spool), then
again with one (the spool is drained), and from a fresh state straight to the broker, which is the bar.
Then a long backlog, made by bench_spool, is drained. The broker and registry are those that GAVEL_KAFKA
and GAVEL_REGISTRY_URL name, or gavel-embedded's mock broker. Times are the agent's own, from "started"
to "stopped".

usage: outage.py [--build build/host] [--size 100M] [--rounds 5] [--backlog-mib 4096] [--dir DIR]
Exit code 1 when a record is missing, or when the long backlog takes over 1 MiB more memory.
"""
import argparse
import datetime
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from agent import FIRST_REALM, FLAT_KIB, TOP, Broker, StandIn, logged, run_gavel, write_config

TARGET_RATIO = 0.9
HOURS_A_DAY = 24
WAITING = 1  # gavel's exit code when batches are left in the spool


class NoBroker:
    """Nobody listens there."""
    brokers, registry, real = "127.0.0.1:1", "http://127.0.0.1:1", False


def ensure(fine, what):
    if not fine:
        raise SystemExit(f"outage.py: {what}")


def spent_s(text):
    started, stopped = (datetime.datetime.fromisoformat(
        re.search(rf"ts=(\S+)Z level=info msg={word}", text)[1]) for word in ("started", "stopped"))
    return (stopped - started).total_seconds()


class Agent:
    """One agent with a state directory of its own."""

    def __init__(self, args, api, scratch, name):
        self.gavel = args.build / "bin" / "gavel"
        self.api = api
        self.state = scratch / name
        self.config = scratch / "gavel.json"
        self.quota_mib = 2 * args.backlog_mib + 64

    def run(self, broker, good=(0,)):
        patience = {"after_ms": 500} if broker is NoBroker else {}  # who is there may answer late
        write_config(self.config, self.api, broker, [FIRST_REALM], state_dir=str(self.state),
                     spool={"reserve_mib": 0, "quota_mib": self.quota_mib, **patience})
        return run_gavel([self.gavel], self.config, good)[0]


def one_round(args, api, broker, scratch, number):
    """The logs of the outage, of catching up, and of the direct way."""
    through = Agent(args, api, scratch, f"outage-{number}")
    away = through.run(NoBroker, good=(WAITING,))
    back = through.run(broker)
    direct = Agent(args, api, scratch, f"direct-{number}").run(broker)
    waiting, drained = logged(away, "spool"), logged(back, "spool")
    sent = logged(direct, "stopped")["records_acked"]
    ensure(waiting["records_waiting"] == drained["drained_records"] == sent > 0,
           f"{waiting['records_waiting']} records were spooled, {drained['drained_records']} drained, and "
           f"{sent} are there")
    ensure(drained["batches_waiting"] == drained["bytes"] == 0, "the spool was not emptied")
    return away, back, direct


def records_per_s(text):
    return logged(text, "stopped")["records_acked"] / spent_s(text)


def report_speed(rounds):
    back, direct = ([records_per_s(logs[i]) for logs in rounds] for i in (1, 2))
    ratio = statistics.median(b / d for b, d in zip(back, direct))
    print(f"direct, fetched and encoded on the way {statistics.median(direct):>11.0f} records/s\n"
          f"catching up from the spool             {statistics.median(back):>11.0f} records/s\n"
          f"ratio {ratio:.2f}, target {TARGET_RATIO}: {'met' if ratio >= TARGET_RATIO else 'missed'}")


def report_disk(rounds):
    """Of the first round; a day has 24 snapshots of one feed."""
    away, back, direct = (logged(text, '"written to the disk"') for text in rounds[0])
    records = logged(rounds[0][0], "spool")["records_waiting"]
    print(f"written for a snapshot of {records} records, as the agent counts it; computed for a day of "
          f"{HOURS_A_DAY} snapshots")
    for name, bytes_, syncs in (
            ("outage", away["bytes"] + back["bytes"], away["syncs"] + back["syncs"]),
            ("healthy", direct["bytes"], direct["syncs"])):
        print(f"  {name:<8}{bytes_:>12} bytes{syncs:>6} syncs; a day {bytes_ * HOURS_A_DAY / 1e6:>10.3f} MB"
              f"{syncs * HOURS_A_DAY:>7} syncs; {bytes_ / records:.1f} bytes a record")


def measure_backlog(args, api, broker, scratch):
    """Peak memory in KiB, of draining a long backlog."""
    agent = Agent(args, api, scratch, "outage-0")  # it has its snapshot: nothing is fetched
    made = subprocess.run([args.build / "bin" / "bench_spool", "--make-backlog", agent.state / "spool",
                           "--backlog-mib", str(args.backlog_mib)],
                          check=True, capture_output=True, text=True)
    print(next(line for line in made.stdout.splitlines() if line.startswith("backlog")))
    text = agent.run(broker)
    spool, ended = logged(text, "spool"), logged(text, "stopped")
    ensure(spool["batches_waiting"] == spool["refused"] == spool["damaged_batches"] == 0 and
           spool["drained_records"] == ended["records_acked"] > 0, "the backlog was not drained whole")
    print(f"drained in {spent_s(text):.0f} s: {ended['records_acked']} records, "
          f"{records_per_s(text):.0f} records/s")
    return ended["peak_memory_kib"]


def report_memory(rounds, long_kib):
    away, back, direct = (max(logged(logs[i], "stopped")["peak_memory_kib"] for logs in rounds)
                          for i in range(3))
    most = max(back, direct)
    print(f"peak memory: direct {direct / 1024:.2f} MiB, spooling {away / 1024:.2f}, catching up "
          f"{back / 1024:.2f}, with the long backlog {long_kib / 1024:.2f}")
    return long_kib - most <= FLAT_KIB


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=TOP / "build" / "host")
    parser.add_argument("--size", default="100M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backlog-mib", type=int, default=4096)
    parser.add_argument("--dir", type=Path, help="where the spools are; they need some room")
    args = parser.parse_args()
    args.build = args.build.resolve()
    kept = TOP / "build" / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.dir) as scratch, Broker(args.build) as broker, \
            StandIn(kept / "standin", "--generate", f"eu-{FIRST_REALM}:{args.size}") as api:
        print(f"broker: {'real, ' + broker.brokers if broker.real else 'embedded mock'}", flush=True)
        rounds = [one_round(args, api, broker, Path(scratch), i) for i in range(args.rounds)]
        report_speed(rounds)
        report_disk(rounds)
        sys.stdout.flush()
        is_flat = report_memory(rounds, measure_backlog(args, api, broker, Path(scratch)))
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
