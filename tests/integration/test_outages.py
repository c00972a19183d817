"""What is away comes back, and what is killed starts again: nothing is lost, nothing is there twice.

A moment to kill at is chosen by what can be seen of the work (records in Kafka, documents in MongoDB,
committed offsets, lines of a log), never by time. The stand-in's "slow" makes room for such moments.
"""
import gzip
import random
import re
from contextlib import contextmanager
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import gavel_env  # first: it sets the path of the next one
import generate
import witness
from gavel_env import until

EU, US, COMMODITIES = ("realm", "eu", 604), ("realm", "us", 11), ("commodities", "eu", 0)
SOURCES = {EU: {"region": "eu", "realms": [604]}, US: {"region": "us", "realms": [11]},
           COMMODITIES: {"region": "eu", "commodities": True}}
# A member that comes back under its own name takes its place at once, so that not each kill costs
# the ten seconds after which a group gives up a member.
SAME_MEMBER = {"group.instance.id": "the-sink"}


def serve(world, records, hours=1, house=EU, *more):
    """Serves generated bodies of so many auctions (hours of houses), asks the agent for them, and
    returns their snapshots, a list an hour."""
    data, houses = world.directory / "data", (house, *more)
    data.mkdir()
    snapshots = []
    for hour in range(hours):
        snapshots.append([])
        time_s = int((generate.FIRST_HOUR + timedelta(hours=hour)).timestamp())
        for kind, region, realm in houses:
            body = b"".join(generate.body(kind, region, realm, records=records, hour=hour))
            name = generate.snapshot_name(kind, region, realm, 0, hour)
            (data / name).write_bytes(gzip.compress(body, 6))
            snapshots[hour].append(witness.Snapshot(body, time_s, region, realm))
    world.serve("--data", data)
    # The smallest batches, so that a body is many of them and can be hit between two.
    world.configure(sources=[SOURCES[each] for each in houses], memory={"batch_kib": 64},
                    sink={"batch_records": 250})
    return snapshots


def slow_down(world, bytes_per_second):
    world.api.control(faults=[{"kind": "slow", "match": "/data/wow",
                               "bytes_per_second": bytes_per_second}])


@contextmanager
def away(services, name):
    """The server is killed, and there again at the end whatever happens."""
    services.do("kill", name)
    try:
        yield
    finally:
        services.do("start", name)


class Progress:
    """How far the work is, cheaply enough to be asked all the time."""

    def __init__(self, world):
        self.world = world
        self.collection = witness.database(world)[world.raw]
        self.kafka = Consumer({"bootstrap.servers": world.services.kafka, "group.id": world.group})

    def partitions(self, topic):
        found = self.kafka.list_topics(topic, timeout=20).topics[topic].partitions
        return [TopicPartition(topic, number) for number in found]

    def messages(self, topic):
        try:
            return sum(self.kafka.get_watermark_offsets(each, timeout=20)[1]
                       for each in self.partitions(topic))
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
            return 0  # the topic is just being made

    def sent(self):
        return self.messages(self.world.raw)

    def proved(self):
        return self.messages(self.world.ledger)

    def committed(self):
        found = self.kafka.committed(self.partitions(self.world.raw), timeout=20)
        return sum(max(0, each.offset) for each in found)

    def stored(self):
        return self.collection.estimated_document_count()

    def close(self):
        self.kafka.close()


@pytest.fixture
def progress(world):
    seen = Progress(world)
    yield seen
    seen.close()


def names(snapshots):
    return {snapshot.name for snapshot in snapshots}


def wait_complete(world, snapshots, deadline_s=90):
    """Until the programs that run have all of it in MongoDB, proved."""
    def complete():
        found = witness.verdicts(world)
        return names(snapshots) == {n for n, v in found.items() if v["state"] == "complete"}
    until(complete, "all snapshots complete", deadline_s)


def check_all(world, snapshots, resent=False):
    witness.check_all_is_there(world, snapshots, resent)
    code, found = world.audit()
    assert code == 0 and found.keys() == names(snapshots)
    assert {each["state"] for each in found.values()} == {"complete"}
    for log in world.directory.glob("*.log"):
        assert "snapshot incomplete" not in log.read_text(), "a false verdict in the meantime"


def assert_alive(*programs):
    for program in programs:
        assert program.is_alive(), program.log()[-3000:]


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


def test_what_was_spooled_survives_a_kill_and_arrives_when_the_broker_is_back(world):
    (snapshots,) = serve(world, 3000)
    world.configure(spool={"after_ms": 200})
    with away(world.services, "kafka"):
        agent = world.agent()
        agent.wait_log("snapshot spooled")
        agent.kill()
        log = world.once(expect=1)
        assert "snapshots=0 not_modified=1" in log
        assert re.search("batches wait in the spool for the broker.* batches=[1-9]", log)
    assert "batches_waiting=0" in world.once()
    world.load()
    check_all(world, snapshots)
    assert not list((world.state / "spool").glob("*.seg"))


def test_hours_without_a_broker_arrive_in_order_behind_it_and_go_direct_after(world):
    hours = serve(world, 1500, 4)
    world.configure(spool={"after_ms": 2000})
    agent, sink = world.agent(), world.sink()
    agent.wait_log("snapshot forwarded")
    with away(world.services, "kafka"):
        for hour in (1, 2):
            since = agent.mark()
            world.api.control(hour=hour)
            agent.wait_log("snapshot spooled", since)
    agent.wait_log("batches go straight to the broker again")
    since = agent.mark()
    world.api.control(hour=3)
    agent.wait_log("snapshot forwarded", since)
    wait_complete(world, sum(hours, []))
    assert_alive(agent, sink)
    assert agent.stop() == 0 and sink.stop() == 0
    check_all(world, sum(hours, []), resent=True)


def test_a_full_spool_drops_whole_snapshots_and_says_which(world):
    hours = serve(world, 6000, 5)
    world.configure(spool={"after_ms": 200, "quota_mib": 1, "quarantine_mib": 0, "segment_kib": 64,
                           "reserve_mib": 0, "policy": "drop-oldest-snapshot"})
    with away(world.services, "kafka"):
        agent = world.agent()
        for hour in range(5):
            since = agent.mark()
            world.api.control(hour=hour)
            agent.wait_log("snapshot spooled", since)
        agent.wait_log("given up for room")
        dropped = set(re.findall(r"given up for room.* snapshot=(\S+) ", agent.log()))
        assert agent.stop() == 0
    assert "batches_waiting=0" in world.once()
    entries = witness.ledger_entries(world)
    assert entries.keys() == names(sum(hours, []))
    assert dropped == {name for name, entry in entries.items() if entry["state"] == "gap"}
    assert 0 < len(dropped) < 5
    assert all(entries[name]["reason"] == "quota" and entries[name]["records"] > 0
               for name in dropped)


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
