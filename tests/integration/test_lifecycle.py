"""How the agent starts, reloads, tells about itself and ends."""
import base64
import ctypes
import gzip
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess

import pytest

import witness
from gavel_env import GAVEL, SANITIZER, SINK, until
from witness import Snapshot

FIRST_HOUR = 1404174601


def snapshot_of(world, hour=0, realm=604):
    (path,) = world.directory.glob("api/generated/eu-%d-*-hour%d.json.gz" % (realm, hour))
    return Snapshot(gzip.decompress(path.read_bytes()), FIRST_HOUR + 3600 * hour, "eu", realm)


# --- ending -------------------------------------------------------------------------------------

def test_sigterm_in_the_middle_of_a_body_ends_with_0_and_the_body_is_fetched_again(world, services):
    world.serve("--generate", "eu-604:1M")
    world.api.control(fault={"kind": "slow", "match": "/data/wow/connected", "bytes_per_second": 50000})
    world.configure(memory={"batch_kib": 64})
    agent = world.agent()
    until(lambda: world.raw in witness.topics(services.kafka)
          and witness.high_water(services.kafka, world.raw) > 0, "records arrive")
    assert agent.stop() == 0
    assert "snapshot forwarded" not in agent.log() and "msg=stopped" in agent.log()
    assert witness.ledger_entries(world) == {}
    world.api.control(faults=[])
    assert "snapshots=1" in world.once()
    snapshots = [snapshot_of(world)]
    witness.check_ledger(world, snapshots, witness.check_raw_topic(world, snapshots, resent=True))


def test_sigterm_keeps_what_was_acknowledged(world):
    world.serve("--generate", "eu-604:100k")
    agent = world.agent()
    agent.wait_log("snapshot forwarded")
    assert agent.stop() == 0
    assert "snapshots=0 not_modified=1" in world.once()


def test_sigterm_while_the_broker_is_away_ends_with_0_when_the_limit_is_over(world):
    world.serve("--generate", "eu-604:100k")
    # nobody listens on port 1
    world.configure(kafka={"brokers": "127.0.0.1:1"}, shutdown_timeout_ms=1000,
                    spool={"enabled": False})
    agent = world.agent()
    world.api.wait_until(lambda state: any(
        r["path"].endswith("/604/auctions") and r["complete"] for r in state["requests"]))
    assert agent.stop() == 0
    assert "not everything was acknowledged in time; it is fetched again" in agent.log()
    assert not list(world.state.glob("cursors/*"))


def test_sigterm_while_the_broker_is_away_spools_what_is_under_way_and_the_next_run_sends_it(world):
    world.serve("--generate", "eu-604:100k")
    world.configure(kafka={"brokers": "127.0.0.1:1"}, spool={"after_ms": 600000},
                    shutdown_timeout_ms=600000)
    agent = world.agent()
    agent.wait_log("no broker answers")
    world.api.wait_until(lambda state: any(
        r["path"].endswith("/604/auctions") and r["complete"] for r in state["requests"]))
    assert agent.stop() == 0
    assert re.search("msg=spool batches_waiting=[1-9]", agent.log())
    assert "not everything was acknowledged" not in agent.log()
    world.configure(kafka={"brokers": world.services.kafka})
    assert "batches_waiting=0" in world.once()
    snapshots = [snapshot_of(world)]  # fetched again when SIGTERM came before its end
    witness.check_ledger(world, snapshots, witness.check_raw_topic(world, snapshots, resent=True))


def test_a_second_sigterm_ends_at_once(world):
    world.serve("--generate", "eu-604:100k")
    world.configure(kafka={"brokers": "127.0.0.1:1"}, shutdown_timeout_ms=600000,
                    spool={"enabled": False})
    agent = world.agent()
    world.api.wait_until(lambda state: any(
        r["path"].endswith("/604/auctions") and r["complete"] for r in state["requests"]))
    agent.signal(signal.SIGTERM)
    until(lambda: signal_is_taken(agent.pid, signal.SIGTERM), "the first SIGTERM taken")
    assert agent.is_alive()
    assert agent.stop() == 1


def signal_is_taken(pid, number):
    with open("/proc/%d/status" % pid) as file:
        pending = re.search(r"ShdPnd:\s*(\w+)", file.read())[1]
    return not int(pending, 16) >> (number - 1) & 1


# --- reloading ----------------------------------------------------------------------------------

def test_sighup_takes_a_new_realm_in_and_the_process_stays(world):
    world.serve("--generate", "eu-604:20k", "--generate", "eu-1305:20k")
    agent = world.agent()
    agent.wait_log("snapshot forwarded.* snapshot=eu/604/")
    world.configure(sources=[{"region": "eu", "realms": [604, 1305]}])
    agent.signal(signal.SIGHUP)
    agent.wait_log("configuration changed.* option=sources")
    agent.wait_log("snapshot forwarded.* snapshot=eu/1305/")
    assert agent.log().count("snapshot=eu/604/") == 1  # the cursor was kept
    assert agent.stop() == 0


@pytest.mark.parametrize("content, words", [
    ('{"sources": [', "new configuration refused; the old one stays in force"),
    ('{"sorces": []}', "new configuration refused; the old one stays in force")])
def test_sighup_with_a_bad_file_says_so_and_the_old_one_stays(world, content, words):
    world.serve("--generate", "eu-604:20k")
    agent = world.agent()
    agent.wait_log("snapshot forwarded")
    world.path.write_text(content)
    agent.signal(signal.SIGHUP)
    agent.wait_log("level=error.*" + words)
    if "sorces" in content:
        assert re.search(r"sorces.*sources", agent.log())
    since = agent.mark()
    world.api.control(hour=1)
    agent.wait_log("snapshot forwarded", since)
    assert agent.stop() == 0


def test_sighup_with_a_file_that_cannot_start_goes_back_to_the_old_one(world):
    world.serve("--generate", "eu-604:20k")
    agent = world.agent()
    agent.wait_log("snapshot forwarded")
    world.configure(memory={"batches": 64, "batch_kib": 1024})
    agent.signal(signal.SIGHUP)
    agent.wait_log("new configuration does not start; back to the old one.*memory.budget_kib")
    since = agent.mark()
    world.api.control(hour=1)
    agent.wait_log("snapshot forwarded", since)
    assert agent.stop() == 0


# --- what it tells about itself -----------------------------------------------------------------

def test_systemd_is_told_of_readiness_life_state_and_the_end(world):
    world.serve("--generate", "eu-604:20k")
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(world.directory / "notify"))
    heard.settimeout(20)
    agent = world.agent({"NOTIFY_SOCKET": str(world.directory / "notify"),
                         "WATCHDOG_USEC": "500000"})
    got = []

    def hear(pattern, times=1):
        while sum(bool(re.search(pattern, text)) for text in got) < times:
            got.append(heard.recv(4096).decode())

    hear("READY=1")
    hear("STATUS=.*forwarded.*broker.*registry")
    hear("WATCHDOG=1", 3)
    agent.signal(signal.SIGTERM)
    hear("STOPPING=1")
    assert agent.wait() == 0


def test_json_logs_are_json_line_by_line_and_no_log_shows_a_secret(world, services):
    world.serve("--generate", "eu-604:20k", "--generate", "eu-1305:20k")
    world.configure(log={"format": "json", "level": "debug"},
                    sources=[{"region": "eu", "realms": [604, 999]}])
    world.api.control(fault={"kind": 500, "match": "/token", "times": 2})
    agent = world.agent()
    agent.wait_log("snapshot forwarded")
    world.api.control(revoke_tokens=True, hour=1)
    agent.wait_log("snapshot forwarded.*/%d" % (FIRST_HOUR + 3600))
    world.path.write_text('{"api": {"client_secret": "e2e-in-plain"}, "sources": []}')
    agent.signal(signal.SIGHUP)
    agent.wait_log("refused")
    assert agent.stop() == 0
    lines = [json.loads(line) for line in agent.log().splitlines()]
    assert {"ts", "level", "msg"} <= set.intersection(*map(set, lines)) and len(lines) > 5
    assert any("client_secret" in line.get("problem", "") for line in lines)
    secrets = world.secrets()
    both = ":".join((secrets["E2E_CLIENT_ID"], secrets["E2E_CLIENT_SECRET"])).encode()
    text = agent.log() + agent.out()
    assert secrets["E2E_CLIENT_SECRET"] not in text and "e2e-in-plain" not in text
    assert base64.b64encode(both).decode() not in text and not re.search("(?i)bearer .", text)


def test_config_show_prints_no_secret(world):
    world.serve()
    world.configure()
    for program in (GAVEL, SINK):
        done = subprocess.run([program, "config", "show", "--config", world.path], text=True,
                              capture_output=True, env={**os.environ, **world.secrets()})
        assert done.returncode == 0, done.stderr
        assert world.secrets()["E2E_CLIENT_SECRET"] not in done.stdout + done.stderr
        assert world.prefix in done.stdout


# --- a single pass ------------------------------------------------------------------------------

def test_once_ends_with_1_when_a_feed_was_not_to_be_had_and_the_others_came(world):
    world.serve("--generate", "eu-604:20k")
    world.configure(sources=[{"region": "eu", "realms": [604, 999]}])
    log = world.once(expect=1)
    assert re.search("snapshot forwarded.* snapshot=eu/604/", log)
    assert re.search("snapshot not fetched.* feed=eu/999/0 .*404", log)


def test_once_ends_with_2_for_a_configuration_that_is_none(world):
    world.path.write_text('{"kafka": {"broker": "x:1"}, "sources": []}')
    assert re.search(r"gavel\.json.*kafka\.broker\b.*brokers", world.once(expect=2))
    world.configure(kafka={"partitions": 0})
    assert re.search(r"gavel\.json.*kafka\.partitions.*1 to 1000", world.once(expect=2))


def test_once_draws_its_progress_on_a_terminal_and_only_there(world):
    world.serve("--generate", "eu-604:1M")
    world.api.control(fault={"kind": "slow", "match": "/data/wow/connected", "bytes_per_second": 200000})
    world.configure()
    ours, theirs = pty.openpty()
    process = subprocess.Popen([GAVEL, "once", "--config", world.path], stdin=subprocess.DEVNULL,
                               stderr=theirs, env={**os.environ, **SANITIZER, **world.secrets()})
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(30) == 0
    assert shown.count(b"\r") > 3 and re.search(rb"\r[^\n]*\d", shown)
    world.api.control(faults=[], hour=1)
    assert "\r" not in world.once()


# --- what it costs others -------------------------------------------------------------------------

class Watch:
    """Names that files get by being moved into place, and all that is written, by inotify."""
    CLOSE_WRITE, MOVED_TO, CREATE = 0x8, 0x80, 0x100

    def __init__(self, *directories):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK)
        for directory in directories:
            assert self.libc.inotify_add_watch(
                self.fd, str(directory).encode(), self.CLOSE_WRITE | self.MOVED_TO | self.CREATE) > 0

    def events(self):
        """(mask, name) of all that has happened."""
        out = []
        while select.select([self.fd], [], [], 0)[0]:
            data, at = os.read(self.fd, 1 << 16), 0
            while at < len(data):
                _, mask, _, length = struct.unpack_from("iIII", data, at)
                out.append((mask, data[at + 16:at + 16 + length].rstrip(b"\0").decode()))
                at += 16 + length
        return out

    def close(self):
        os.close(self.fd)


def test_the_state_is_written_once_a_snapshot_and_not_in_between(world):
    world.serve("--generate", "eu-604:20k")
    (world.state / "cursors").mkdir(parents=True)
    watch = Watch(world.state, world.state / "cursors")
    agent = world.agent()
    for hour in range(3):
        since = agent.mark()
        world.api.control(hour=hour)
        if hour:
            agent.wait_log("snapshot forwarded", since)
        else:
            agent.wait_log("snapshot forwarded")
        polls = world.api.state()["not_modified"]
        world.api.wait_until(lambda state, polls=polls: state["not_modified"] > polls + 2)
    assert agent.stop() == 0
    events = watch.events()
    watch.close()
    moved = [name for mask, name in events if mask & Watch.MOVED_TO]
    cursors = [name for name in moved if name.endswith(".cursor")]
    assert len(cursors) == 3 and len(set(cursors)) == 1
    assert set(moved) - set(cursors) == {"registry.json", "history"}
    assert moved.count("registry.json") <= 2
    assert moved.count("history") == 1 and moved[-1] == "history"  # at the end
    written = [name for mask, name in events if mask & Watch.CLOSE_WRITE]
    assert len(written) == len(moved), "each write is moved into place: %s" % written


def test_thirty_realms_are_fetched_four_at_a_time_and_within_the_rate(world):
    realms = range(2001, 2031)
    options = [word for realm in realms for word in ("--generate", "eu-%d:9k" % realm)]
    world.serve(*options)
    # Slower than one every 100 ms, so that they meet.
    world.api.control(fault={"kind": "slow", "match": "/data/wow/connected-realm/", "bytes_per_second": 10000})
    world.configure(sources=[{"region": "eu", "realms": "all"}], api={"requests_per_s": 10})
    log = world.once()
    assert log.count("snapshot forwarded") == 30
    assert witness.ledger_entries(world).keys() == {
        "eu/%d/0/%d" % (realm, FIRST_HOUR) for realm in realms}
    state = world.api.state()
    assert 1 < state["max_transfers"] <= 4
    assert "status_429" not in state["counts"] and state["tokens_issued"] == 1
    times = sorted(r["t"] for r in state["requests"])
    for first in times:  # 0.95: what leaves the agent evenly need not arrive evenly
        assert sum(first <= t < first + 0.95 for t in times) <= 11, "token and 10 of the API"


def test_four_slow_transfers_are_not_joined_by_a_fifth(world):
    options = [word for realm in range(2001, 2009) for word in ("--generate", "eu-%d:30k" % realm)]
    world.serve(*options)
    world.configure(sources=[{"region": "eu", "realms": "all"}])
    world.api.control(fault={"kind": "stall", "match": "/data/wow/connected-realm/20"})
    agent = world.agent()
    world.api.wait_until(lambda state: state["hanging"] == 4)
    world.api.control(faults=[], release=True)
    until(lambda: agent.log().count("snapshot forwarded") == 8, "all eight forwarded")
    assert world.api.state()["max_transfers"] == 4
    assert agent.stop() == 0
