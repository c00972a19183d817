"""What the tests of outages share: servers that go away, hour after hour of snapshots, and how far the
work is. Whatever is waited for can be seen of the work: lines of a log, records in Kafka, documents in
MongoDB, files of the spool.
"""
import gzip
import os
import re
import signal
from contextlib import contextmanager
from datetime import timedelta

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import gavel_env  # first: it sets the path of the next one
import generate
import witness
from gavel_env import until

EU, US, COMMODITIES = ("realm", "eu", 604), ("realm", "us", 11), ("commodities", "eu", 0)
SOURCES = {EU: {"region": "eu", "realms": [604]}, US: {"region": "us", "realms": [11]},
           COMMODITIES: {"region": "eu", "commodities": True}}


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


@contextmanager
def frozen(services, name):
    """The server keeps its connections and answers nothing; it goes on at the end."""
    pid = services.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


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


# --- the agent's spool ------------------------------------------------------------------------------

# Small files and a short patience, so that a test sees what takes an hour in life.
SPOOL = {"after_ms": 1500, "segment_kib": 64, "reserve_mib": 0}
BUDGET_KIB = 12288


def serve_hours(world, records, hours, *houses, **spool):
    """As serve(), for an agent with a spool; the sink's batches are large again, for speed."""
    snapshots = serve(world, records, hours, *houses)
    world.configure(spool={**SPOOL, **spool}, sink={"batch_records": None})
    return snapshots


def show(world, agent, snapshots, how="spooled", hour=None):
    """Makes an hour current and waits until the agent has taken it in."""
    since = agent.mark() if hour is not None else 0
    if hour is not None:
        world.api.control(hour=hour)
    for snapshot in snapshots:
        agent.wait_log(r'msg="snapshot (?:%s)" snapshot=%s ' % (how, snapshot.name), since)


def segments(world):
    return sorted((world.state / "spool").glob("*.seg"))


def wait_drained(world, agent):
    """Until nothing is left to be sent."""
    agent.wait_log("batches go straight to the broker again")
    until(lambda: not segments(world), "no file is left in the spool")


def peak_kib(program):
    with open("/proc/%d/status" % program.pid) as file:
        return int(re.search(r"VmHWM:\s*(\d+) kB", file.read())[1])


def is_instrumented(program):
    """Whether it is built with a sanitizer, whose memory is not ours."""
    with open("/proc/%d/maps" % program.pid) as file:
        return bool(re.search(r"lib[at]san", file.read()))


def check_memory(program):
    assert peak_kib(program) <= BUDGET_KIB or is_instrumented(program)


def check_order(world):
    """In each partition, and so for each key, an hour of a feed comes only after the one before."""
    registry, last = witness.Registry(world.services.registry), {}
    for message in witness.messages(world.services.kafka, world.raw):
        record = registry.decode(message.value())[1]
        feed = message.partition(), record["region"], record["realm"], record["house"]
        assert record["snapshot_at"] >= last.get(feed, record["snapshot_at"]), feed
        last[feed] = record["snapshot_at"]
