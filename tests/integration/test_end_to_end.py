"""From the API's JSON to Kafka and MongoDB, read back by independent witnesses."""
import gzip
import json
import os
import re
import shutil
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pytest
from bson import Int64
from confluent_kafka import Producer

import gavel_env  # first: it sets the path of the next two
import generate
import witness
from adversary import Adversary
from witness import Snapshot

SAMPLE = gavel_env.TOP / "tests" / "data" / "sample"
RECORDED = Path(os.environ.get("GAVEL_RECORDED_DATA", gavel_env.TOP.parent / "shared" / "data"))
FIRST_HOUR = 1404174601
ALL_SORTS = [{"region": "eu", "realms": [604], "commodities": True},
             {"region": "eu", "game": "classic", "realms": [4440], "houses": [2]}]


def snapshot_of(path):
    """A Snapshot from a file named as tests/data/README.md says."""
    region, place, *house, stamp = path.name[:-len(".json.gz")].split("-")
    time_s = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    realm = 0 if place == "commodities" else int(place)
    return Snapshot(gzip.decompress(path.read_bytes()), int(time_s), region, realm,
                    int(house[0]) if house else 0)


def samples(hour):
    stamp = "%02d3001Z" % hour
    return [snapshot_of(p) for p in sorted(SAMPLE.glob("*.json.gz")) if p.name.endswith(
        "%s.json.gz" % stamp)]


def adversarial_body(records=1500):
    counts = Counter()
    spoil = Adversary(unknown_members=True, duplicates=True, bad_records=True, invalid_utf8=True,
                      extremes=True)
    body = b"".join(generate.body("realm", "eu", 604, records=records, adversary=spoil,
                                  counts=counts))
    return body, counts


def test_every_auction_of_three_hours_is_in_kafka_and_in_mongodb_once(world):
    world.serve()
    world.configure(sources=ALL_SORTS)
    hours = []
    for hour in range(3):
        world.api.control(hour=hour)
        hours += samples(hour)
        assert "snapshots=3" in world.once()
        world.load()
        witness.check_all_is_there(world, hours)
    assert len(hours) == 9
    code, found = world.audit()
    assert code == 0 and found.keys() == {s.name for s in hours}
    assert {each["state"] for each in found.values()} == {"complete"}


def test_confluents_own_deserializer_reads_what_fastavro_reads(world):
    world.serve()
    world.once()
    (snapshot,) = [s for s in samples(0) if s.realm == 604]
    read = witness.Registry(world.services.registry).deserializer(world.raw)
    found = sorted((read(m.value()) for m in witness.messages(world.services.kafka, world.raw)),
                   key=lambda record: record["position"])
    assert found == snapshot.records


def test_adversarial_rows_come_out_as_records_copies_or_rejects_and_none_is_lost(world):
    body, counts = adversarial_body()
    snapshot = Snapshot(body, FIRST_HOUR)
    assert len(snapshot.rejects) == counts["bad"] > 0
    assert sum(len(r["extra"]) for r in snapshot.records) >= counts["unknown_members"] > 0
    repeated = counts["duplicates_identical"] + counts["duplicates_differing"]
    world.serve_body(body)
    log = world.once()
    unknown = sum(len(r["extra"]) for r in snapshot.records)
    assert re.search(r"snapshot forwarded.* rejects=%d unknown_members=%d " % (
        len(snapshot.rejects), unknown), log)
    world.load()
    witness.check_all_is_there(world, [snapshot])
    witness.check_rejects_topic(world, [snapshot])
    witness.check_rejects_collection(world, [snapshot])
    verdict = witness.verdicts(world)[snapshot.name]
    assert verdict["copies"] == len(snapshot.records) - len({r["id"] for r in snapshot.records})
    assert 0 < verdict["copies"] <= repeated
    # 64 bits came through whole, as int64
    extremes = witness.database(world)[world.raw].find_one({"item.seed": 2**63 - 1})
    assert extremes["item"]["rand"] == -2**63 and extremes["bid"] == 2**63 - 1
    assert extremes["buyout"] == 2**53 + 1 and isinstance(extremes["buyout"], Int64)


def test_a_second_pass_fetches_nothing_and_changes_nothing(world):
    world.serve()
    world.configure(sources=ALL_SORTS)
    world.once()
    world.load()
    before = witness.high_water(world.services.kafka, world.raw)
    assert "snapshots=0 not_modified=3" in world.once()
    assert world.api.state()["not_modified"] == 3
    assert witness.high_water(world.services.kafka, world.raw) == before
    printed = world.load()
    assert printed.startswith("0 messages read, 0 documents added")
    witness.check_all_is_there(world, samples(0))


def test_a_resend_after_the_state_was_lost_changes_nothing_in_mongodb(world):
    body, _ = adversarial_body()
    world.serve_body(body)
    snapshot = Snapshot(body, FIRST_HOUR)
    world.once()
    world.load()
    places = witness.check_documents(world, [snapshot])
    shutil.rmtree(world.state)
    world.once()
    witness.check_ledger(world, [snapshot], witness.check_raw_topic(world, [snapshot], resent=True))
    sent = len(snapshot.records) * 2
    assert witness.high_water(world.services.kafka, world.raw) == sent
    printed = world.load()
    assert re.search(r" 0 documents added to \S+, 0 copies, 0 dead letters", printed)
    assert witness.check_documents(world, [snapshot]) == places
    witness.check_rejects_collection(world, [snapshot])
    witness.check_complete(world, [snapshot])


def test_a_sink_that_reads_all_again_under_another_group_changes_nothing(world):
    body, _ = adversarial_body(400)
    world.serve_body(body)
    world.once()
    world.load()
    world.configure(sink={"group": world.group + "-again"})
    printed = world.load()
    sent = witness.high_water(world.services.kafka, world.raw)
    assert int(printed.split()[0]) > sent and " 0 documents added" in printed
    assert " 0 copies" in printed
    witness.check_all_is_there(world, [Snapshot(body, FIRST_HOUR)])


def test_the_sqlite_store_holds_the_same_and_a_resend_changes_nothing(world):
    body, _ = adversarial_body(600)
    snapshot, path = Snapshot(body, FIRST_HOUR), world.directory / "gavel.db"
    world.serve_body(body)
    world.configure(sink={"store": "sqlite"}, sqlite={"path": str(path)})
    world.once()
    world.load()
    witness.check_rows(path, world.raw, [snapshot])
    before = witness.rows_of(path, world.raw), witness.rows_of(path, world.rejects)
    assert len(before[1]) == len(snapshot.rejects)
    shutil.rmtree(world.state)
    world.once()
    assert " 0 documents added" in world.load()
    assert (witness.rows_of(path, world.raw), witness.rows_of(path, world.rejects)) == before
    code, found = world.audit()
    assert code == 0 and found[snapshot.name]["records"] == len(snapshot.records)


def forge_ledger(world, name, **changes):
    entry = {**witness.ledger_entries(world)[name], **changes}
    producer = Producer({"bootstrap.servers": world.services.kafka})
    producer.produce(world.ledger, json.dumps(entry).encode(), name.encode(),
                     timestamp=entry["snapshot_at"])
    assert producer.flush(30) == 0


@pytest.mark.parametrize("wrong", [{"records": 1503}, {"digest": "0123456789abcdef"}])
def test_a_ledger_entry_that_the_store_does_not_bear_out_makes_the_snapshot_incomplete(world, wrong):
    world.serve()
    world.once()
    world.load()
    (name,) = witness.verdicts(world)
    forge_ledger(world, name, **wrong)
    world.load()
    code, found = world.audit()
    assert code == 1 and found[name]["state"] == "incomplete" and found[name]["reason"]
    if "records" in wrong:
        there = found[name]["stored"]
        assert found[name]["missing"] == 1503 - there
        assert witness.verdicts(world)[name]["missing"]["ranges"] == [
            {"first": there, "last": 1502}]


def test_documents_that_vanished_are_named_and_come_back_when_all_is_read_again(world):
    world.serve()
    world.once()
    world.load()
    (snapshot,) = [s for s in samples(0) if s.realm == 604]
    count = len(snapshot.records)
    deleted = witness.database(world)[world.raw].delete_many({"position": {"$in": [7, 8, 9, 500]}})
    assert deleted.deleted_count == 4
    forge_ledger(world, snapshot.name, records=count + 1)  # an unchanged entry is not judged again
    world.load()
    code, found = world.audit()
    assert code == 1 and found[snapshot.name]["state"] == "incomplete"
    assert witness.verdicts(world)[snapshot.name]["missing"] == {"count": 5, "ranges": [
        {"first": 7, "last": 9}, {"first": 500, "last": 500}, {"first": count, "last": count}]}
    forge_ledger(world, snapshot.name, records=count)
    world.configure(sink={"group": world.group + "-again"})
    world.load()
    assert world.audit()[0] == 0
    witness.check_documents(world, [snapshot])
    witness.check_complete(world, [snapshot])


def test_what_is_no_record_goes_to_the_dead_letters_with_the_reason_and_the_rest_goes_on(world):
    world.serve()
    world.once()
    producer = Producer({"bootstrap.servers": world.services.kafka})
    for value in (b"", b"\x01plain text", b"\x00\x7f\xff\xff\xffno such schema", b"\x00\x00"):
        producer.produce(world.raw, value, b"strange")
    assert producer.flush(30) == 0
    printed = world.load()
    assert re.search(r", 4 dead letters", printed)
    letters = witness.messages(world.services.kafka, world.dead)
    assert {m.value() for m in letters} >= {b"\x01plain text", b"\x00\x00"}
    assert all(m.headers() and m.key() == b"strange" for m in letters) and len(letters) == 4
    (snapshot,) = [s for s in samples(0) if s.realm == 604]
    witness.check_documents(world, [snapshot])
    witness.check_complete(world, [snapshot])


def test_an_empty_house_is_a_complete_snapshot(world):
    body = b"".join(generate.body("realm", "eu", 604, records=0))
    world.serve_body(body)
    world.once()
    world.load()
    (entry,) = witness.ledger_entries(world).values()
    assert (entry["records"], entry["rejects"], entry["digest"]) == (0, 0, "0" * 16)
    witness.check_complete(world, [Snapshot(body, FIRST_HOUR)])


@pytest.mark.skipif(not RECORDED.is_dir() or not list(RECORDED.glob("*.json.gz")),
                    reason="no recorded snapshots in GAVEL_RECORDED_DATA")
def test_a_recorded_snapshot_arrives_in_full(world):
    path = sorted(RECORDED.glob("*.json.gz"))[0]
    snapshot = snapshot_of(path)
    assert len(snapshot.records) > 70_000 and not snapshot.rejects
    data = world.directory / "recorded"
    data.mkdir()
    (data / path.name).symlink_to(path)
    world.serve("--data", data)
    world.configure(sources=[{"region": snapshot.region, "realms": [snapshot.realm]}])
    world.once()
    world.load()
    witness.check_all_is_there(world, [snapshot])
    assert world.audit()[0] == 0
