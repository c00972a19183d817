"""What a running agent shows of itself: /status.json, /metrics, `gavel status`."""
import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from gavel_env import GAVEL, SANITIZER, until

SECRETS = ("E2E_CLIENT_ID", "E2E_CLIENT_SECRET")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Page:
    """The status page of the world's agent."""

    def __init__(self, world, **settings):
        self.world = world
        self.url = "http://127.0.0.1:%d" % (port := free_port())
        world.configure(status={"listen": "127.0.0.1:%d" % port}, **settings)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.get("/status.json"))

    def until(self, condition, what):
        """The first status for which the condition holds."""
        def look():
            try:
                status = self.status()
            except (urllib.error.URLError, ConnectionError):
                return None  # not there yet, or just being reloaded
            return status if condition(status) else None
        return until(look, what, poll_s=0.1)

    def metrics(self):
        samples = re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", self.get("/metrics"), re.M)
        return {name: float(value) for name, value in samples}

    def command(self, *words):
        done = subprocess.run([GAVEL, "status", *words, "--config", self.world.path], text=True,
                              capture_output=True, env={**SANITIZER, "PATH": ""}, timeout=60)
        return done.returncode, done.stdout, done.stderr


def names(status):
    return [each["name"] for each in status["conditions"]]


def test_snapshot_is_shown_with_its_records_by_all_of_them(world):
    world.serve("--generate", "eu-604:5k")
    page = Page(world, api={"stale_after_ms": 0})  # the stand-in's snapshots are years old
    agent = world.agent()
    status = page.until(lambda s: s["feeds"][0]["records"], "the snapshot is shown")
    (feed,) = status["feeds"]
    acked = status["broker"]["records_acked"]
    assert (feed["name"], feed["trouble"], feed["stale"]) == ("eu/604/0", "", False)
    assert feed["snapshot_at"] == "2014-07-01T00:30:01Z"
    assert acked == feed["records"] + 1  # and the ledger entry
    assert status["broker"]["up"] and status["registry"] == {"up": True, "text": "all schema ids known"}
    assert status["update"]["from"] == "file" and status["device"] == "e2e"
    assert 0 < status["memory"]["resident_bytes"] <= status["memory"]["peak_bytes"]
    assert status["disk"]["written_bytes"] > 0 and status["feeds_left_out"] == 0
    metrics = page.metrics()
    assert metrics["gavel_records_acknowledged_total"] == acked
    assert metrics['gavel_feed_snapshot_records{feed="eu/604/0"}'] == feed["records"]
    assert metrics['gavel_feed_snapshot_timestamp_seconds{feed="eu/604/0"}'] == 1404174601
    assert metrics["gavel_outage"] == 0
    code, out, err = page.command()
    assert code == (0 if status["state"] == "ok" else 1) and err == ""
    assert re.search(r"^eu/604/0 +2014-07-01T00:30:01Z .* %d " % feed["records"], out, re.M)
    code, out, err = page.command("--json")
    assert json.loads(out)["feeds"][0]["name"] == "eu/604/0"
    assert agent.stop() == 0


def test_outage_is_told_with_its_reason_and_nothing_secret(world):
    world.serve("--generate", "eu-604:5k")
    page = Page(world, kafka={"brokers": "127.0.0.1:1"}, spool={"after_ms": 500})
    agent = world.agent()
    status = page.until(lambda s: "broker_away" in names(s) and s["feeds"][0]["records"],
                        "the outage is told, and the snapshot is safe in the spool")
    assert status["state"] == "outage" and not status["broker"]["up"]
    assert status["spool"]["spooling"] and status["spool"]["records"] >= status["feeds"][0]["records"]
    (told,) = [each for each in status["conditions"] if each["name"] == "broker_away"]
    assert told["since_s"] >= 10 and "127.0.0.1:1" in told["words"] and "kafka.brokers" in told["advice"]
    assert any("batches go to the spool" in each["text"] for each in status["recent"])
    assert page.metrics()['gavel_condition{condition="broker_away",severity="error"}'] == 1
    code, out, _ = page.command()
    assert code == 1 and "ERROR    nothing gets to Kafka" in out
    shown = page.get("/status.json") + page.get("/metrics") + out
    assert not [name for name in SECRETS if world.secrets()[name] in shown]
    assert agent.stop() == 0


def test_old_snapshot_is_stale_everywhere(world):
    world.serve("--generate", "eu-604:5k")
    page = Page(world)
    agent = world.agent()
    status = page.until(lambda s: "no_new_data" in names(s), "the only feed is stale")
    assert status["feeds"][0]["stale"] and status["state"] == "outage"
    assert page.metrics()['gavel_feed_stale{feed="eu/604/0"}'] == 1
    code, out, _ = page.command()
    assert code == 1 and re.search(r"^eu/604/0 .* stale$", out, re.M)
    assert agent.stop() == 0


def test_counters_and_history_outlive_a_reload_and_history_a_restart(world):
    world.serve("--generate", "eu-604:5k")
    page = Page(world)
    agent = world.agent()
    before = page.until(lambda s: s["feeds"][0]["records"], "the snapshot is shown")
    world.configure(device_id="renamed")
    agent.signal(signal.SIGHUP)
    after = page.until(lambda s: s["device"] == "renamed", "the agent has reloaded")
    assert after["broker"]["records_acked"] >= before["broker"]["records_acked"] > 0
    assert after["disk"]["written_bytes"] >= before["disk"]["written_bytes"]
    assert after["uptime_s"] >= before["uptime_s"]
    assert sum(after["history"]["records"]) == before["broker"]["records_acked"]
    assert agent.stop() == 0
    assert (world.state / "history").stat().st_size < 14000
    agent = world.agent()
    again = page.until(lambda s: s["broker"]["up"], "the agent has started again")
    assert again["broker"]["records_acked"] == 0
    assert sum(again["history"]["records"]) == before["broker"]["records_acked"]
    assert agent.stop() == 0


def test_agent_that_does_not_run_is_said_with_what_to_do(world):
    page = Page(world)
    code, out, err = page.command()
    assert code == 2 and out == ""
    assert page.url in err and "systemctl status gavel" in err and "--url" in err
