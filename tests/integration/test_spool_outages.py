"""The broker, the registry or the agent itself is away for hours: fetching goes on, all of it arrives.

The hours of an outage are those of the snapshots: the stand-in shows the next one as soon as the agent
has taken in the last. Nothing is waited for but what can be seen of the work.
"""
import json
import random
import re

import witness
from gavel_env import until
from outage import (EU, US, assert_alive, away, check_all, check_memory, check_order, frozen, segments,
                    serve_hours, show, slow_down, wait_complete, wait_drained)

KILLS_AWAY, KILLS_BACK, SEED = 6, 6, 20140701


def count(snapshots):
    return sum(len(snapshot.records) for snapshot in snapshots)


def test_half_a_day_without_a_broker_arrives_in_order_and_leaves_the_disk_empty(world, progress):
    # So patient that a busy machine does not look like an outage: all of it is counted here.
    hours = serve_hours(world, 600, 13, EU, US, after_ms=5000)
    agent, sink = world.agent(), world.sink()
    show(world, agent, hours[0], "forwarded")
    with away(world.services, "kafka"):
        for hour in range(1, 12):
            show(world, agent, hours[hour], "spooled", hour)
        assert agent.log().count("batches go to the spool") == 1
        assert len(segments(world)) > 5
        assert_alive(agent, sink)
    wait_drained(world, agent)
    show(world, agent, hours[12], "forwarded", 12)
    wait_complete(world, sum(hours, []))
    check_memory(agent)
    assert agent.stop() == 0 and sink.stop() == 0
    check_all(world, sum(hours, []))
    check_order(world)
    assert progress.sent() == count(sum(hours, []))


# --- killed again and again -------------------------------------------------------------------------

def is_settled(world, snapshots):
    """The agent's cursors, which are there after a kill as well, say so."""
    found = {}
    for path in world.state.glob("cursors/*.cursor"):
        cursor = json.loads(path.read_text())
        found[cursor["feed"]] = cursor["last_modified"]
    return all(found.get("%s/%d/%d" % (s.region, s.realm, s.house), 0) >= s.time_s
               for s in snapshots)


class Killed:
    """An agent that is killed in the middle of its work on hour after hour."""

    def __init__(self, world, hours):
        self.world, self.hours, self.hour, self.struck = world, hours, 0, 0
        self.draw = random.Random(SEED)
        self.agent = world.agent()

    def spooled(self):
        """The sequence that the newest file begins with."""
        return max([int(path.stem, 16) for path in segments(self.world)], default=0)

    def go_on(self):
        """Shows the next hour when the present one is safe. Whether there was none."""
        if not is_settled(self.world, self.hours[self.hour]):
            return False
        if self.hour + 1 == len(self.hours):
            return True
        self.hour += 1
        self.world.api.control(hour=self.hour)
        return False

    def strike(self, measure, most, is_over):
        """When the measure has grown by up to that much, unless the work is over before."""
        aim = measure() + self.draw.randint(1, most)
        until(lambda: measure() >= aim or is_over(), "there is work to be hit")
        self.struck += not is_over()
        self.agent.kill()

    def start(self):
        self.agent = self.world.agent()


def test_kills_in_an_outage_and_while_it_is_made_up_for_lose_nothing(world, progress):
    hours = serve_hours(world, 1500, 6, EU, US, after_ms=400)
    snapshots = sum(hours, [])
    # The broker gets two small batches at a time, with a pause between, so that there is time to kill.
    world.configure(memory={"batches": 4}, kafka={"properties": {"linger.ms": 300}})
    killed = Killed(world, hours)
    until(lambda: is_settled(world, hours[0]), "the first hour is safe")
    with away(world.services, "kafka"):
        slow_down(world, 200_000)
        for _ in range(KILLS_AWAY):
            killed.strike(killed.spooled, 3, killed.go_on)
            killed.start()
        world.api.control(faults=[])
        until(killed.go_on, "all hours are on the disk")
        killed.agent.kill()
    killed.start()
    for _ in range(KILLS_BACK):
        killed.strike(progress.sent, 1500, lambda: not segments(world))
        killed.start()
    assert killed.struck >= KILLS_AWAY + KILLS_BACK - 2, "most of them hit work"
    until(lambda: not segments(world), "no file is left in the spool")
    assert killed.agent.stop() == 0
    world.load()
    check_all(world, snapshots, resent=True)
    twice, kills = progress.sent() - count(snapshots), KILLS_AWAY + 1 + KILLS_BACK
    print("%d kills, %d of %d records twice in Kafka" % (kills, twice, count(snapshots)))
    # An outage's kill costs the body that was arriving, another what the broker was just given.
    assert twice <= kills * count(hours[0])


# --- what else is away ------------------------------------------------------------------------------

def test_a_first_boot_with_nothing_but_the_api_fetches_and_delivers_when_all_is_there(world, progress):
    hours = serve_hours(world, 1000, 3, EU, US)
    with frozen(world.services, "registry"):
        with away(world.services, "kafka"):
            agent = world.agent()
            for hour, snapshots in enumerate(hours):
                show(world, agent, snapshots, "spooled", hour)
        agent.wait_log(r"schema id not known")
        assert progress.sent() == 0 and segments(world)
        assert_alive(agent)
    wait_drained(world, agent)
    assert agent.stop() == 0
    world.load()
    check_all(world, sum(hours, []))
    check_order(world)


def test_an_outage_within_one_body_leaves_no_seam(world, progress):
    (snapshots,) = serve_hours(world, 10_000, 1)
    slow_down(world, 35_000)  # some ten seconds
    agent, sink = world.agent(), world.sink()
    until(lambda: progress.sent() > 0, "the first records")
    with frozen(world.services, "kafka"):
        agent.wait_log("batches go to the spool")
        until(lambda: segments(world), "the first of them are there")
    agent.wait_log("batches go straight to the broker again")
    assert "snapshot spooled" not in agent.log() and "snapshot forwarded" not in agent.log()
    assert world.api.state()["transfers"] == 1, "the body is still arriving"
    wait_complete(world, snapshots)
    assert_alive(agent, sink)
    until(lambda: not segments(world), "no file is left in the spool")
    assert "snapshot forwarded" in agent.log() and world.api.state()["counts"]["status_200"] == 2
    assert agent.stop() == 0 and sink.stop() == 0
    check_all(world, snapshots, resent=True)


# --- asked to end in an outage ------------------------------------------------------------------------

def is_read(world):
    """Whether the agent has read all of a body that was sent to it."""
    done = [r["connection"] for r in world.api.state()["requests"]
            if r["complete"] and r["path"].endswith("/auctions")]
    if not done:
        return False
    with open("/proc/net/tcp") as file:
        queues = {int(words[1].split(":")[1], 16): words[4].split(":")[1]
                  for words in map(str.split, list(file)[1:])}
    return int(queues.get(done[-1], "0"), 16) == 0


def test_sigterm_and_once_in_an_outage_leave_their_batches_to_the_next_start(world):
    # Nothing but its end makes the agent lose its patience.
    hours = serve_hours(world, 2000, 2, after_ms=3_600_000)
    world.configure(shutdown_timeout_ms=10_000)
    with frozen(world.services, "kafka"):
        agent = world.agent()
        until(lambda: is_read(world), "the body is in memory")
        assert not segments(world)
        assert agent.stop() == 0
        assert "snapshot spooled" in agent.log() and segments(world)
        assert "fetched again" not in agent.log()
        world.configure(spool={"after_ms": 1500})
        world.api.control(hour=1)
        log = world.once(expect=1)
        assert re.search(r"wait in the spool.* batches=\d\d?\b", log)
        assert is_settled(world, hours[1])
    log = world.once()
    assert "snapshots=0 not_modified=1" in log and not segments(world)
    world.load()
    check_all(world, sum(hours, []))
    check_order(world)
