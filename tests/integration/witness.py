"""Independent witnesses: what ought to be in Kafka and MongoDB, from the JSON alone, and what is.

Nothing here knows how the programs work: JSON is read by Python's json, Avro by fastavro and by
confluent-kafka's deserializer, documents by pymongo. The rules of a record are written down anew.
"""
import contextlib
import functools
import io
import json
import re
import sqlite3
import struct
import time
from collections import Counter
from datetime import datetime, timezone

import fastavro
import pymongo
from bson import Int64, json_util
from confluent_kafka import Consumer, TIMESTAMP_CREATE_TIME, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

MASK64 = (1 << 64) - 1
OPTIONAL_ITEM = ("context", "pet_breed_id", "pet_level", "pet_quality_id", "pet_species_id", "rand",
                 "seed")
OPTIONAL = ("bid", "buyout", "unit_price")
TIMES = ("SHORT", "MEDIUM", "LONG", "VERY_LONG")


def digest(body):
    """MurmurHash64A with seed 0, from its public description."""
    m = 0xC6A4A7935BD1E995
    h = len(body) * m & MASK64
    whole = len(body) // 8
    for (k,) in struct.iter_unpack("<Q", body[:whole * 8]):
        k = k * m & MASK64
        k = (k ^ k >> 47) * m & MASK64
        h = (h ^ k) * m & MASK64
    if len(body) % 8:
        h = (h ^ int.from_bytes(body[whole * 8:], "little")) * m & MASK64
    h = (h ^ h >> 47) * m & MASK64
    return h ^ h >> 47


# --- what the JSON says ---------------------------------------------------------------------------

class Broken(Exception):
    """The row breaks the schema."""


def integer(raw):
    if not re.fullmatch(r"-?\d+", raw) or not -2**63 <= int(raw) < 2**63:
        raise Broken(raw)
    return int(raw)


def optional(raw):
    return None if raw == "null" else integer(raw)


SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder(strict=False)


def items_of(text, begin):
    """The raw texts of an array's items; text[begin] is its bracket."""
    at = SPACE.match(text, begin + 1).end()
    while text[at] != "]":
        end = DECODER.raw_decode(text, at)[1]
        yield text[at:end]
        at = SPACE.match(text, end).end()
        if text[at] == ",":
            at = SPACE.match(text, at + 1).end()


def members_of(text):
    """(name, raw text of the value) of an object's members."""
    if text[:1] != "{":
        raise Broken(text)
    at = SPACE.match(text, 1).end()
    while text[at] != "}":
        name, at = DECODER.raw_decode(text, at)
        at = SPACE.match(text, SPACE.match(text, at).end() + 1).end()
        end = DECODER.raw_decode(text, at)[1]
        yield name, text[at:end]
        at = SPACE.match(text, end).end()
        if text[at] == ",":
            at = SPACE.match(text, at + 1).end()


def item_of(text, extra):
    item = {**dict.fromkeys(OPTIONAL_ITEM), "bonus_lists": [], "modifiers": []}
    for name, raw in members_of(text):
        if name == "id":
            item[name] = integer(raw)
        elif name in OPTIONAL_ITEM:
            item[name] = optional(raw)
        elif name in ("bonus_lists", "modifiers") and raw[0] != "[":
            raise Broken(raw)
        elif name == "bonus_lists":
            item[name] = [integer(each) for each in items_of(raw, 0)]
        elif name == "modifiers":
            item[name] = [{k: integer(v) for k, v in members_of(m)} for m in items_of(raw, 0)]
        else:
            extra["item." + name] = raw
    if "id" not in item:
        raise Broken("item.id")
    return item


def record_of(text):
    """The record's own fields, as Avro holds them."""
    extra = {}
    record = {**dict.fromkeys(OPTIONAL), "time_left": "UNKNOWN", "extra": extra}
    for name, raw in members_of(text):
        if name in ("id", "quantity"):
            record[name] = integer(raw)
        elif name in OPTIONAL:
            record[name] = optional(raw)
        elif name == "item":
            record[name] = item_of(raw, extra)
        elif name == "time_left":
            if raw[0] != '"':
                raise Broken(raw)
            symbol = json.loads(raw)
            if symbol in TIMES:
                record[name] = symbol
            else:
                extra[name] = raw
        else:
            extra[name] = raw
    if not {"id", "quantity", "item"} <= record.keys():
        raise Broken("missing")
    return record


class Snapshot:
    """What one body has to become: records in their order, rejects as (row, raw bytes)."""

    def __init__(self, body, time_s, region="eu", realm=604, house=0):
        self.name = "%s/%d/%d/%d" % (region, realm, house, time_s)
        self.region, self.realm, self.house, self.time_s = region, realm, house, time_s
        self.records, self.rejects = [], []
        at = datetime.fromtimestamp(time_s, timezone.utc)
        text = body.decode("latin-1")  # one character a byte, so that rows keep their raw bytes
        begin = text.index("[", text.index('"auctions"'))
        for row, raw in enumerate(items_of(text, begin)):
            raw = raw.encode("latin-1")
            try:
                record = record_of(raw.decode("utf-8", "replace"))
            except Broken:
                self.rejects.append((row, raw))
                continue
            record.update(region=region, realm=realm, house=house, snapshot_at=at,
                          position=len(self.records))
            self.records.append(record)


# --- what Kafka holds -----------------------------------------------------------------------------

def topics(brokers):
    return AdminClient({"bootstrap.servers": brokers}).list_topics(timeout=20).topics


def high_water(brokers, topic):
    """Messages in the topic, as its offsets say; 0 while there is no topic."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "witness"})
    try:
        found = consumer.list_topics(topic, timeout=20).topics[topic]
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1]
                   for p in found.partitions)
    finally:
        consumer.close()


def messages(brokers, topic, deadline_s=60):
    """Everything in the topic, each partition in its order."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "witness",
                         "enable.auto.commit": False, "enable.partition.eof": True,
                         "check.crcs": True, "fetch.wait.max.ms": 50})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        out, at_end, end = [], set(), time.monotonic() + deadline_s
        while len(at_end) < len(partitions):
            assert time.monotonic() < end, "%s could not be read to its end" % topic
            for message in consumer.consume(10000, timeout=0.5):
                if message.error():
                    assert message.error().name() == "_PARTITION_EOF", message.error()
                    at_end.add(message.partition())
                else:
                    out.append(message)
        return out
    finally:
        consumer.close()


class Registry:
    def __init__(self, url):
        self.client = SchemaRegistryClient({"url": url})
        self.parsed = {}

    def id_of(self, subject):
        return self.client.get_latest_version(subject).schema_id

    def decode(self, value):
        """(schema id, record, Avro body) of a message in Confluent's framing, by fastavro alone."""
        magic, schema_id = struct.unpack(">bI", value[:5])
        assert magic == 0
        if schema_id not in self.parsed:
            text = self.client.get_schema(schema_id).schema_str
            self.parsed[schema_id] = fastavro.parse_schema(json.loads(text))
        stream = io.BytesIO(value[5:])
        record = fastavro.schemaless_reader(stream, self.parsed[schema_id], None)
        assert stream.tell() == len(value) - 5, "bytes are left behind the record"
        return schema_id, record, value[5:]

    def deserializer(self, topic):
        """confluent-kafka's own way."""
        read = AvroDeserializer(self.client)
        context = SerializationContext(topic, MessageField.VALUE)
        return lambda value: read(value, context)


def check_raw_topic(world, snapshots, resent=False):
    """Every record of the snapshots is in the raw topic, exactly once unless it may have been sent
    again, field by field, under its key, with its time; and nothing else is. Returns the sums of
    their digests by snapshot."""
    registry = Registry(world.services.registry)
    wanted_id = registry.id_of(world.raw + "-value")
    expected = {(s.name, r["position"]): (s, r) for s in snapshots for r in s.records}
    times, sums = Counter(), Counter()
    for message in messages(world.services.kafka, world.raw):
        schema_id, record, body = registry.decode(message.value())
        assert schema_id == wanted_id
        name = "%s/%d/%d/%d" % (record["region"], record["realm"], record["house"],
                                record["snapshot_at"].timestamp())
        place = name, record["position"]
        assert place in expected, "nobody sent %s %s" % place
        assert record == expected[place][1]
        key = "%s/%d/%d" % (record["region"], record["realm"], record["id"])
        assert message.key() == key.encode()
        assert message.timestamp() == (TIMESTAMP_CREATE_TIME, expected[place][0].time_s * 1000)
        assert not message.headers()
        times[place] += 1
        if times[place] == 1:
            sums[name] += digest(body)
    missing = expected.keys() - times.keys()
    assert not missing, "%d are missing, such as %s" % (len(missing), min(missing))
    if not resent:
        assert set(times.values()) <= {1}
    return {name: "%016x" % (total & MASK64) for name, total in sums.items()}


def check_rejects_topic(world, snapshots):
    registry = Registry(world.services.registry)
    wanted_id = registry.id_of(world.rejects + "-value")
    expected = {(s.name, row): raw for s in snapshots for row, raw in s.rejects}
    for message in messages(world.services.kafka, world.rejects):
        schema_id, record, _ = registry.decode(message.value())
        name = "%s/%d/%d/%d" % (record["region"], record["realm"], record["house"],
                                record["snapshot_at"].timestamp())
        assert schema_id == wanted_id and record["reason"] and not record["raw_cut"]
        assert expected.pop((name, record["row"])) == record["raw"]
    assert not expected


def ledger_entries(world):
    """The newest entry by snapshot."""
    if world.ledger not in topics(world.services.kafka):
        return {}
    entries = {}
    for message in messages(world.services.kafka, world.ledger):
        entry = json.loads(message.value())
        assert message.key() == entry["snapshot"].encode()
        assert message.timestamp()[1] == entry["snapshot_at"]
        entries[entry["snapshot"]] = entry
    return entries


def check_ledger(world, snapshots, digests):
    """digests: what check_raw_topic() has computed from the bodies."""
    entries = ledger_entries(world)
    assert entries.keys() == {s.name for s in snapshots}
    for snapshot in snapshots:
        entry = entries[snapshot.name]
        assert (entry["region"], entry["realm"], entry["house"]) == (
            snapshot.region, snapshot.realm, snapshot.house)
        assert entry["snapshot_at"] == snapshot.time_s * 1000
        assert entry["records"] == len(snapshot.records)
        assert entry["rejects"] == len(snapshot.rejects)
        assert entry["digest"] == digests.get(snapshot.name, "%016x" % 0)
        assert (entry["state"], entry["topic"], entry["device"]) == ("complete", world.raw, "e2e")


# --- what MongoDB holds ---------------------------------------------------------------------------

@functools.lru_cache
def mongo_client(url):
    return pymongo.MongoClient(url, tz_aware=True, serverSelectionTimeoutMS=20000)


def database(world):
    return mongo_client(world.services.mongo)[world.database]


def document_of(record):
    """As MongoDB should show it: no nulls, dots in keys replaced."""
    out = {k: v for k, v in record.items() if v is not None}
    out["item"] = {k: v for k, v in record["item"].items() if v is not None}
    out["extra"] = {k.replace(".", "\uff0e"): v for k, v in record["extra"].items()}
    return out


def expected_rows(snapshots):
    """Records by _id; more than one where a body lists an auction more than once."""
    expected = {}
    for s in snapshots:
        for record in s.records:
            expected.setdefault("%s/%d" % (s.name, record["id"]), []).append(record)
    return expected


def check_documents(world, snapshots):
    """The collection holds exactly the snapshots' auctions, each once, field by field."""
    expected = expected_rows(snapshots)
    registry_id = Registry(world.services.registry).id_of(world.raw + "-value")
    places = set()
    for document in database(world)[world.raw].find({}, batch_size=5000):
        name = document.pop("_id")
        assert name in expected, "nobody sent " + name
        rows = [document_of(record) for record in expected.pop(name)]
        assert document.pop("snapshot") == name.rpartition("/")[0]
        assert isinstance(document["id"], Int64) and isinstance(document.pop("digest"), Int64)
        origin = document.pop("kafka")
        assert (origin["topic"], origin["schema_id"]) == (world.raw, registry_id)
        places.add((origin["partition"], origin["offset"]))
        copies = document.pop("copies", [])
        found = [document] + [{k: v for k, v in {**document, **copy}.items()
                               if k not in ("kafka", "digest")} for copy in copies]
        assert sorted(found, key=lambda d: d["position"]) == rows
    assert not expected, "%d are missing, such as %s" % (len(expected), min(expected))
    return places


def check_rejects_collection(world, snapshots):
    expected = {"%s/row/%d" % (s.name, row): raw for s in snapshots for row, raw in s.rejects}
    for document in database(world)[world.rejects].find():
        assert expected.pop(document["_id"]) == document["raw"]
    assert not expected


def verdicts(world):
    return {document["_id"]: document for document in database(world)["snapshots"].find()}


# --- what SQLite holds ----------------------------------------------------------------------------

def rows_of(path, table):
    """(id, position) -> document"""
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % path, uri=True)) as store:
        rows = store.execute('SELECT id, position, doc FROM "%s"' % table).fetchall()
    options = json_util.JSONOptions(tz_aware=True)
    return {(name, position): json_util.loads(doc, json_options=options)
            for name, position, doc in rows}


def check_rows(path, table, snapshots):
    """The table holds exactly the snapshots' auctions, each once, field by field."""
    found = rows_of(path, table)
    expected = {(name, record["position"]): document_of(record)
                for name, records in expected_rows(snapshots).items() for record in records}
    assert found.keys() == expected.keys()
    for place, document in found.items():
        for ours in ("_id", "snapshot", "kafka", "digest"):
            del document[ours]
        assert document == expected[place]


# --- all of it ------------------------------------------------------------------------------------

def check_complete(world, snapshots):
    found = verdicts(world)
    assert {name: v["state"] for name, v in found.items()} == {s.name: "complete" for s in snapshots}
    for s in snapshots:
        verdict = found[s.name]
        assert verdict["records"] == verdict["stored"] == len(s.records)
        assert verdict["rejects"] == verdict["rejects_stored"] == len(s.rejects)
        assert verdict["missing"] == {"count": 0, "ranges": []}


def check_all_is_there(world, snapshots, resent=False):
    """From the JSON to Kafka, the ledger, MongoDB and the verdicts."""
    check_ledger(world, snapshots, check_raw_topic(world, snapshots, resent))
    check_documents(world, snapshots)
    check_complete(world, snapshots)
