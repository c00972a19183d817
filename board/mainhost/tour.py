#!/usr/bin/env python3
"""The quickstart's second half: starts the servers, carries snapshots through, shows what arrived.

Called by board/quickstart when everything is built.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
DIR = TOP / "build" / "quickstart"
BIN = TOP / "build" / "host" / "bin"
SERVICES = TOP / "board" / "mainhost" / "services"
NOT_TO_BE_HAD = 3  # exit code of `services`: no such server on this machine
HOURS = 3
READY_S = 60


class Failure(Exception):
    """Something a person has to look at; the text says what and where."""


def step(text):
    print(f"\n== {text}", flush=True)


# --- processes of our own --------------------------------------------------------------------------

class Processes:
    """What this run has started; remembered on disk for --keep and --stop."""

    def __init__(self):
        self.path = DIR / "running.json"
        self.seen = json.loads(self.path.read_text()) if self.path.exists() else {}

    def remember(self, name, what):
        self.seen[name] = what
        self.path.write_text(json.dumps(self.seen))

    def start(self, name, *command):
        with open(DIR / f"{name}.log", "ab") as log:
            child = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, start_new_session=True)
        self.remember(name, {"pid": child.pid, "started": birth(child.pid)})

    def stop_all(self):
        ours = self.seen.pop("services", False)
        for name, child in reversed(self.seen.items()):
            if birth(child["pid"]) != child["started"]:
                continue  # gone, or the number belongs to another process now
            os.kill(child["pid"], signal.SIGTERM)
            wait_until(lambda pid=child["pid"], was=child["started"]: birth(pid) != was,
                       f"{name} to end", DIR / f"{name}.log")
        if ours:
            subprocess.run([SERVICES, "down"], check=False)
        self.seen = {}
        self.path.unlink(missing_ok=True)


def birth(pid):
    """Start time of a living process, as the kernel counts; None when there is none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def wait_until(ready, what, log, seconds=READY_S):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s for {what}; see {log}")
        time.sleep(0.05)


def run(name, *command, codes=(0,)):
    """Runs a program to its end; its log goes to a file. Returns the peak memory it reports, MiB."""
    log = DIR / f"{name}.log"
    with open(log, "ab") as out:
        done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out,
                              stderr=out, check=False)
    if done.returncode not in codes:
        raise Failure(f"{name} ended with {done.returncode}; see {log}")
    peaks = re.findall(r"peak[ _]memory(?:_kib=| )(\d+)", log.read_text())
    return int(peaks[-1]) / 1024


# --- the servers -----------------------------------------------------------------------------------

def real_servers(processes):
    """Addresses of the real servers, or None when they are not to be had here."""
    running = subprocess.run([SERVICES, "status"], check=False, capture_output=True).returncode == 0
    processes.remember("services", not running)
    for verb in ("install", "up"):
        done = subprocess.run([SERVICES, verb], check=False)
        if done.returncode == NOT_TO_BE_HAD:
            return None
        if done.returncode:
            raise Failure(f"the servers do not start: see above, or use --embedded")
    lines = subprocess.run([SERVICES, "env"], check=True, capture_output=True, text=True).stdout
    env = dict(line.removeprefix("export ").split("=", 1) for line in lines.splitlines() if "=" in line)
    return {name: value.strip("'\"") for name, value in env.items()}


def embedded_servers(processes):
    processes.start("embedded", BIN / "gavel-embedded", "auctions")
    log = DIR / "embedded.log"
    wait_until(lambda: log.exists() and log.read_text().rstrip().endswith("}"), "gavel-embedded", log)
    said = json.loads(log.read_text().splitlines()[-1])
    return {"GAVEL_KAFKA": said["brokers"], "GAVEL_REGISTRY_URL": said["registry"]}


def stand_in(processes, data):
    ready = DIR / "standin" / "standin.json"
    ready.unlink(missing_ok=True)
    processes.start("standin", sys.executable, TOP / "tests/doubles/api/standin.py",
                    "--run-dir", ready.parent, "--data", data)
    wait_until(ready.exists, "the stand-in API", DIR / "standin.log")
    return json.loads(ready.read_text())


# --- configuration ---------------------------------------------------------------------------------

def secret(name, value):
    path = DIR / name
    path.touch(mode=0o600)
    path.write_text(value)
    return f"file:{path}"


def feeds_of(data):
    """The sources that a folder of recorded snapshots serves."""
    sources = []
    series = sorted({path.name.rsplit("-", 1)[0] for path in data.glob("*.json.gz")})
    for region in sorted({name.split("-")[0] for name in series}):
        names = [name.split("-")[1:] for name in series if name.startswith(region + "-")]
        realms = [int(name[0]) for name in names if len(name) == 1 and name[0].isdigit()]
        classic = [(int(n[0]), int(n[1])) for n in names if len(n) == 2]
        if realms or ["commodities"] in names:
            sources.append({"region": region, "realms": realms,
                            "commodities": ["commodities"] in names})
        for realm in sorted({realm for realm, _ in classic}):
            sources.append({"region": region, "game": "classic", "realms": [realm],
                            "houses": sorted(house for r, house in classic if r == realm)})
    if not sources:
        raise Failure(f"no snapshots in {data}: expected files like eu-604-20140701T003001Z.json.gz")
    return sources


def write_config(servers, api, sources):
    mongo = servers.get("GAVEL_MONGO_URL")
    config = {
        "state_dir": str(DIR / "state"),
        "sources": sources,
        "api": api,
        "kafka": {"brokers": servers["GAVEL_KAFKA"], "create_topics": mongo is not None},
        "registry": {"urls": [servers["GAVEL_REGISTRY_URL"]]},
        "sink": {"store": "mongodb" if mongo else "sqlite"},
        "mongo": {"uri": mongo, "database": "gavel_quickstart"} if mongo else {},
        "sqlite": {} if mongo else {"path": str(DIR / "auctions.db")},
    }
    path = DIR / "gavel.json"
    path.write_text(json.dumps(config, indent=2) + "\n")
    return path


def stand_in_config(said):
    return {"base_url": said["base_url"], "token_url": said["base_url"] + "/token",
            "ca_file": said["ca"], "client_id": secret("client_id", said["client_id"]),
            "client_secret": secret("client_secret", said["client_secret"]),
            "stale_after_ms": 0}  # recorded snapshots are always old


def live_config():
    try:
        return {"client_id": secret("client_id", os.environ["GAVEL_CLIENT_ID"]),
                "client_secret": secret("client_secret", os.environ["GAVEL_CLIENT_SECRET"])}
    except KeyError as missing:
        raise Failure(f"--live needs your API key: set {missing.args[0]} "
                      "(https://develop.battle.net gives you one)") from None


# --- the job ---------------------------------------------------------------------------------------

def source_counts(data):
    """Auctions in each recorded body, by the snapshot's text id, counted without gavel's help."""
    counts = {}
    for path in sorted(data.glob("*.json.gz")):
        series, stamp = path.name.removesuffix(".json.gz").rsplit("-", 1)
        region, realm, house = (series.replace("commodities", "0") + "-0").split("-")[:3]
        seconds = int(time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone)
        with gzip.open(path) as body:
            counts[f"{region}/{realm}/{house}/{seconds}"] = len(json.load(body)["auctions"])
    return counts


def control(said, **settings):
    request = urllib.request.Request(said["control_url"], json.dumps(settings).encode(),
                                     {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def carry(config, label):
    agent_mib = run("gavel", BIN / "gavel", "once", "--config", config)
    sink_mib = run("gavel-sink", BIN / "gavel-sink", "run", "--until-idle", "--config", config)
    print(f"{label}: fetched, forwarded, stored (peak memory: agent {agent_mib:.1f} MiB, "
          f"sink {sink_mib:.1f} MiB)", flush=True)


def audit(config):
    done = subprocess.run([BIN / "gavel-sink", "audit", "--json", "--config", config], check=False,
                          capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise Failure(f"gavel-sink audit: {done.stderr.strip()}")
    return {s["snapshot"]: s for s in json.loads(done.stdout)}, done.returncode


def show(config, expected):
    """The proof, as a table; True when every snapshot is whole."""
    found, code = audit(config)
    whole = code == 0
    print(f"{'snapshot':<28}{'in the API':>12}{'in Kafka':>12}{'stored':>12}  verdict")
    for name in sorted(expected or found):
        s = found.get(name, {})
        source = expected.get(name) if expected else None
        sent = s.get("records", 0) + s.get("rejects", 0)
        good = s.get("state") == "complete" and source in (None, sent)
        whole = whole and good
        print(f"{name:<28}{source if source is not None else '-':>12}{s.get('records', 0):>12}"
              f"{s.get('stored', 0):>12}  {s.get('state', 'not there')}")
    return whole


def how_to_look(config, servers):
    mongo = servers.get("GAVEL_MONGO_URL")
    print(f"  {BIN.relative_to(TOP)}/gavel-sink audit --config {config.relative_to(TOP)}")
    if mongo:
        print(f"  mongosh {mongo.rstrip('/')}/gavel_quickstart --eval "
              "'db.getCollection(\"auctions.raw\").findOne()'")
    else:
        print(f"  sqlite3 {(DIR / 'auctions.db').relative_to(TOP)} .schema")
    print(f"  logs and configuration: {DIR.relative_to(TOP)}/")


def parse():
    parser = argparse.ArgumentParser(prog="board/quickstart")
    for flag in ("embedded", "keep", "live", "stop"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--region", default="eu", choices=("us", "eu", "kr", "tw"))
    parser.add_argument("--realm", type=int, default=604)
    parser.add_argument("--data", type=pathlib.Path, default=TOP / "tests/data/sample")
    return parser.parse_args()


def prepare():
    DIR.mkdir(parents=True, exist_ok=True)
    for name in ("gavel.log", "gavel-sink.log", "embedded.log", "auctions.db", "auctions.db-wal",
                 "auctions.db-shm"):
        (DIR / name).unlink(missing_ok=True)
    for cursor in (DIR / "state" / "cursors").glob("*"):
        cursor.unlink()
    (DIR / "state" / "registry.json").unlink(missing_ok=True)


def start_servers(args, processes):
    step("servers")
    servers = None if args.embedded else real_servers(processes)
    if servers:
        return servers
    if not args.embedded:
        print("Real servers are not to be had on this machine (see above).")
    print("Using embedded parts: a mock broker, a minimal registry, SQLite. They are for a look "
          "only.", flush=True)
    return embedded_servers(processes)


def tour(args, processes):
    prepare()
    servers = start_servers(args, processes)
    if args.live:
        config = write_config(servers, live_config(),
                              [{"region": args.region, "realms": [args.realm]}])
        step(f"connected realm {args.realm} of {args.region}, from the real API")
        carry(config, "now")
        expected = {}
    else:
        api = stand_in(processes, args.data)
        config = write_config(servers, stand_in_config(api), feeds_of(args.data))
        step(f"{HOURS} hours of auctions, from a stand-in for the game API")
        for hour in range(HOURS):
            control(api, hour=hour)
            carry(config, f"hour {hour + 1}")
        expected = source_counts_until(args.data, HOURS)
    step("what arrived")
    whole = show(config, expected)
    step("to look at it yourself" if args.keep else "to look at it yourself, run again with --keep")
    how_to_look(config, servers)
    if args.keep:
        processes.start("agent", BIN / "gavel", "run", "--config", config)
        processes.start("sink", BIN / "gavel-sink", "run", "--config", config)
        print("Agent, sink and servers go on running. To end them: board/quickstart --stop")
    return whole


def source_counts_until(data, hours):
    """The first `hours` snapshots of each series."""
    by_series = {}
    for name, count in sorted(source_counts(data).items()):
        by_series.setdefault(name.rpartition("/")[0], []).append((name, count))
    return {name: count for rows in by_series.values() for name, count in rows[:hours]}


def main():
    args = parse()
    DIR.mkdir(parents=True, exist_ok=True)
    processes = Processes()
    if args.stop:
        processes.stop_all()
        return 0
    processes.stop_all()  # of an earlier --keep
    began = time.monotonic()
    try:
        whole = tour(args, processes)
    except (Failure, KeyboardInterrupt) as why:
        print(f"\nboard/quickstart: {why or 'interrupted'}", file=sys.stderr)
        processes.stop_all()
        return 1
    if not args.keep:
        step("stopping what was started")
        processes.stop_all()
    print(f"\n{'Every auction arrived, once.' if whole else 'NOT everything arrived: see above.'} "
          f"({time.monotonic() - began:.0f} s)")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
