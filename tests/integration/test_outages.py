"""What is away comes back, and what is killed starts again: nothing is lost, nothing is there twice.

A moment to kill at is chosen by what can be seen of the work (records in Kafka, documents in MongoDB,
committed offsets, lines of a log), never by time. The stand-in's "slow" makes room for such moments.
"""
import random

import witness
from gavel_env import until
from outage import (EU, US, assert_alive, away, check_all, names, serve, slow_down, wait_complete)

# A member that comes back under its own name takes its place at once, so that not each kill costs
# the ten seconds after which a group gives up a member.
SAME_MEMBER = {"group.instance.id": "the-sink"}


# --- servers that are away ------------------------------------------------------------------------

def test_a_first_boot_without_a_registry_forwards_as_soon_as_it_is_there(world, progress):
    (snapshots,) = serve(world, 3000)
    with away(world.services, "registry"):
        agent = world.agent()
        agent.wait_log(r"schema id not known")
        # It fetches and encodes all the same, and sends nothing that nobody could read.
        world.api.wait_until(lambda state: any(
            each["complete"] and each["path"].endswith("/auctions") for each in state["requests"]))
        assert progress.sent() == 0
    sink = world.sink()
    wait_complete(world, snapshots)
    assert_alive(agent, sink)
    assert agent.stop() == 0 and sink.stop() == 0
    check_all(world, snapshots)


def test_a_restart_without_a_registry_forwards_with_the_ids_it_knows(world):
    first, second = serve(world, 1000, hours=2)
    world.once()
    world.api.control(hour=1)
    with away(world.services, "registry"):
        log = world.once()
        assert "snapshots=1" in log and "schema registered" not in log
        assert witness.ledger_entries(world).keys() == names(first + second)
    world.load()
    check_all(world, first + second)


def test_a_sink_without_a_registry_waits_and_loses_nothing(world, progress):
    (snapshots,) = serve(world, 1000)
    world.once()
    with away(world.services, "registry"):
        sink = world.sink()
        sink.wait_log(r"msg=waiting")
        assert progress.stored() == 0 and progress.committed() == 0
    wait_complete(world, snapshots)
    assert sink.stop() == 0
    check_all(world, snapshots)
    assert witness.high_water(world.services.kafka, world.dead) == 0


def test_a_start_without_a_broker_forwards_as_soon_as_it_is_there(world):
    (snapshots,) = serve(world, 1000)
    with away(world.services, "kafka"):
        agent, sink = world.agent(), world.sink()
        agent.wait_log(r"level=warn.*part=forwarder")
        sink.wait_log(r"msg=waiting")
        assert_alive(agent, sink)
    wait_complete(world, snapshots)
    assert agent.stop() == 0 and sink.stop() == 0
    check_all(world, snapshots)


def test_a_broker_killed_in_the_middle_of_a_snapshot_costs_nothing(world, progress):
    (snapshots,) = serve(world, 6000)
    slow_down(world, 100_000)
    agent, sink = world.agent(), world.sink()
    until(lambda: progress.sent() > 0 and progress.committed() > 0, "the first records")
    assert progress.proved() == 0
    with away(world.services, "kafka"):
        agent.wait_log(r"level=warn.*part=forwarder")
        assert "snapshot forwarded" not in agent.log()
    wait_complete(world, snapshots)
    assert_alive(agent, sink)
    assert agent.stop() == 0 and sink.stop() == 0
    check_all(world, snapshots, resent=True)


def test_a_store_killed_in_the_middle_of_a_load_costs_nothing(world, progress):
    (snapshots,) = serve(world, 6000)
    world.once()
    sink = world.sink()
    until(lambda: progress.stored() > 0, "the first documents")
    with away(world.services, "mongo"):
        sink.wait_log(r"msg=waiting")
        assert 0 < progress.sent() - progress.committed()
    wait_complete(world, snapshots)
    assert_alive(sink)
    assert sink.stop() == 0
    check_all(world, snapshots)


# --- programs that are killed ---------------------------------------------------------------------

KILLS, HOURS, AUCTIONS, SEED = 20, 6, 2000, 20140701


class Kills:
    """Both programs, at work on hour after hour."""

    def __init__(self, world, progress, hours):
        self.world, self.progress, self.hours, self.hour = world, progress, hours, 0
        self.entries, self.proved = 0, set()
        self.agent, self.sink = world.agent(), world.sink()

    def is_over(self):
        """Whether all is forwarded and stored. Shows the next hour when the present one is."""
        sent, entries = self.progress.sent(), self.progress.proved()
        if entries != self.entries:
            self.entries, self.proved = entries, witness.ledger_entries(self.world).keys()
        if self.progress.committed() < sent or not names(self.hours[self.hour]) <= self.proved:
            return False
        if self.hour + 1 == len(self.hours):
            return True
        self.hour += 1
        self.world.api.control(hour=self.hour)
        return False

    def strike(self, victim, measure, growth):
        """Kills and starts the victim when the measure has grown so much. Whether it was at work."""
        value = getattr(self.progress, measure)
        aim, before = value() + growth, self.hour
        over = until(lambda: (value() >= aim and "reached") or (self.is_over() and "over"),
                     "%s grows by %d in hour %d" % (measure, growth, before))
        for each in victim.split():
            getattr(self, each).kill()
        for each in victim.split():
            setattr(self, each, getattr(self.world, each)())
        return over == "reached"


def moments(draw):
    """(who is killed, what is watched, by how much it must have grown)"""
    victims = ["agent", "sink"] * 8 + ["agent sink"] * 4
    draw.shuffle(victims)
    measures = {"agent": ["sent", "sent", "proved"], "sink": ["sent", "committed"],
                "agent sink": ["sent", "committed", "proved"]}
    for victim in victims:
        measure = draw.choice(measures[victim])
        yield victim, measure, draw.randint(1, 1 if measure == "proved" else 300)


def test_twenty_kills_at_random_moments_lose_nothing_and_double_nothing(world, progress):
    hours = serve(world, AUCTIONS, HOURS, EU, US)
    snapshots = sum(hours, [])
    slow_down(world, 10_000)
    world.configure(kafka={"properties": SAME_MEMBER})
    kills = Kills(world, progress, hours)
    struck = [kills.strike(*moment) for moment in moments(random.Random(SEED))]
    assert len(struck) == KILLS and sum(struck) >= KILLS // 3, struck  # the rest found all work done
    world.api.control(faults=[])
    until(kills.is_over, "all hours forwarded and stored")
    wait_complete(world, snapshots)
    assert kills.agent.stop() == 0 and kills.sink.stop() == 0
    check_all(world, snapshots, resent=True)
    assert progress.committed() == progress.sent() > sum(len(s.records) for s in snapshots)
