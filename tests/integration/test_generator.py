"""Promises of tests/data/generate.py: same seed same bytes, the API's frequencies, realistic hours."""
import gzip
import hashlib
import json
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
sys.path.insert(0, str(DATA))
import generate  # noqa: E402
from adversary import BAD_RECORDS, Adversary  # noqa: E402


def made(kind="realm", **options):
    return b"".join(generate.body(kind, **options))


def auctions(kind="realm", **options):
    return json.loads(made(kind, **options))["auctions"]


def share(records, condition):
    return sum(map(bool, map(condition, records))) / len(records)


@pytest.fixture(scope="module")
def realm():
    return auctions(records=30_000)


@pytest.mark.parametrize("kind, digest", [
    ("realm", "524df755"), ("classic", "20889e91"), ("commodities", "1afe79fb")])
def test_same_seed_gives_the_same_bytes_on_every_machine(kind, digest):
    body = made(kind, records=3000, hour=5, seed=42)
    assert hashlib.sha256(body).hexdigest()[:8] == digest


def test_other_seed_hour_realm_or_region_gives_other_records():
    bodies = {made(records=50), made(records=50, seed=2), made(records=50, hour=1),
              made(records=50, realm=605), made(records=50, region="us")}
    assert len(bodies) == 5


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_body_has_the_wanted_number_of_records_and_the_api_envelope(kind):
    body = json.loads(made(kind, records=1500))
    assert len(body["auctions"]) == 1500
    assert body["_links"]["self"]["href"].startswith("https://eu.api.blizzard.com/data/wow/")
    assert ("connected_realm" in body) == (kind != "commodities")
    assert (body.get("id"), body.get("name")) == (
        (2, "Alliance Auction House") if kind == "classic" else (None, None))


@pytest.mark.parametrize("kind", generate.KINDS)
@pytest.mark.parametrize("size", [1000, 100_000, 2_000_000])
def test_a_body_reaches_the_wanted_size_and_passes_it_by_less_than_a_record(kind, size):
    counts = Counter()
    body = made(kind, size_bytes=size, counts=counts)
    assert size <= len(body) < size + 600
    assert len(json.loads(body)["auctions"]) == counts["auctions"]


def test_an_empty_snapshot_is_possible():
    assert auctions(records=0) == []


def test_memory_does_not_grow_with_the_body():
    peaks = []
    for size in (1_000_000, 4_000_000):
        tracemalloc.start()
        try:
            assert sum(map(len, generate.body("realm", size_bytes=size))) >= size
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000


def test_ids_are_unique_and_not_sorted(realm):
    ids = [a["id"] for a in realm]
    assert len(set(ids)) == len(ids)
    rising = sum(a < b for a, b in zip(ids, ids[1:])) / len(ids)
    assert 0.4 < rising < 0.6


def test_members_of_realm_auctions_are_as_frequent_as_in_the_api(realm):
    assert share(realm, lambda a: "context" in a["item"]) == pytest.approx(0.90, abs=0.01)
    assert share(realm, lambda a: "bonus_lists" in a["item"]) == pytest.approx(0.73, abs=0.01)
    assert share(realm, lambda a: "modifiers" in a["item"]) == pytest.approx(0.85, abs=0.01)
    assert share(realm, lambda a: "bid" in a) == pytest.approx(0.06, abs=0.005)
    assert 0.002 < share(realm, lambda a: "buyout" not in a) < 0.01
    pets = [a["item"] for a in realm if "pet_level" in a["item"]]
    assert len(pets) / len(realm) == pytest.approx(0.12, abs=0.01)
    for item in pets:
        assert item["id"] == 82800
        assert {"pet_breed_id", "pet_quality_id", "pet_species_id"} < set(item)


def test_time_left_is_shared_out_as_recorded(realm):
    left = Counter(a["time_left"] for a in realm)
    for name, wanted, within in (("VERY_LONG", .65, .03), ("LONG", .31, .03), ("MEDIUM", .036, .01),
                                 ("SHORT", .007, .004)):
        assert left[name] / len(realm) == pytest.approx(wanted, abs=within)


def test_numbers_reach_the_sizes_the_api_sends(realm):
    prices = [a["buyout"] for a in realm if "buyout" in a]
    assert 2**32 < max(prices) <= 50_000_000_000
    assert 0 < share(prices, lambda p: p >= 2**32) < 0.05
    assert all(1 <= len(a["item"].get("bonus_lists", [1])) <= 7 for a in realm)
    assert all(1 <= len(a["item"].get("modifiers", [1])) <= 4 for a in realm)
    types = {m["type"] for a in realm for m in a["item"].get("modifiers", ())}
    assert types == {6, 9, 28, 29, 30}
    house = auctions("classic", records=30_000)
    seeds = [a["item"]["seed"] for a in house if "seed" in a["item"]]
    assert 4_200_000_000 < max(seeds) <= 4_294_019_297
    assert min(a["item"].get("rand", 0) for a in house) < 0
    market = auctions("commodities", records=30_000)
    assert max(a["quantity"] for a in market) == 20_201
    assert all(set(a) == {"id", "item", "quantity", "unit_price", "time_left"} for a in market)


@pytest.mark.parametrize("kind", generate.KINDS)
def test_an_hour_later_most_auctions_live_on_and_little_else_changes(kind):
    rank = {"VERY_LONG": 3, "LONG": 2, "MEDIUM": 1, "SHORT": 0}
    hours = [{a["id"]: a for a in auctions(kind, records=20_000, hour=h)} for h in range(12)]
    outbid = 0
    for before, after in zip(hours, hours[1:]):
        living = before.keys() & after.keys()
        assert 0.91 <= len(living) / len(before) <= 0.97
        for i in living:
            old, new = before[i], after[i]
            assert rank[new["time_left"]] <= rank[old["time_left"]]
            changed = {k for k in old if old[k] != new[k]}
            assert changed <= {"time_left", "bid"} and old.keys() == new.keys()
            outbid += "bid" in changed
        assert sum(before[i]["time_left"] != after[i]["time_left"] for i in living) > 0
    assert outbid / 11 / 20_000 < 0.01
    assert (outbid > 0) == (kind != "commodities")
    gone = hours[0].keys() - hours[1].keys()
    assert not any(gone & later.keys() for later in hours[2:])


def test_each_sort_of_damage_is_there_and_counted():
    counts = Counter()
    adversary = Adversary(unknown_members=True, duplicates=True, bad_records=True,
                          invalid_utf8=True, extremes=True, deep=200, huge_string=100_000)
    body = made(records=5000, adversary=adversary, counts=counts)
    with pytest.raises(UnicodeDecodeError):
        body.decode()
    records = json.loads(body.decode("utf-8", "replace"))["auctions"]
    assert len(records) == counts["auctions"] + counts["bad"] + counts["extremes"] + 2 + (
        counts["duplicates_identical"] + counts["duplicates_differing"])
    assert all(counts[name] > 0 for name, _ in BAD_RECORDS)
    whole = [r for r in records if isinstance(r, dict)]
    assert len(records) - len(whole) == counts["bad_not_an_object"]
    assert sum("seller_name" in r for r in whole) >= counts["invalid_utf8"] > 50
    assert sum("owner" in r for r in whole) > 0
    assert any(len(str(r.get("more"))) == 100_000 for r in whole)
    by_id = {}
    for text in (json.dumps(r, sort_keys=True) for r in whole if "id" in r and "more" not in r):
        by_id.setdefault(json.loads(text)["id"], []).append(text)
    twice = [v for v in by_id.values() if len(v) > 1]
    assert sum(len(set(v)) == 1 for v in twice) == counts["duplicates_identical"]
    assert sum(len(set(v)) > 1 for v in twice) == counts["duplicates_differing"]


def test_the_committed_sample_is_what_the_generator_makes():
    sample = DATA / "sample"
    made_now = {name: b"".join(pieces) for name, pieces in generate.snapshots(**generate.SAMPLE)}
    assert set(made_now) == {p.name for p in sample.glob("*.gz")}
    for name, body in made_now.items():
        assert gzip.decompress((sample / name).read_bytes()) == body, name
    assert sum(p.stat().st_size for p in sample.iterdir()) < 300_000


def test_the_command_line_writes_equal_gzip_files_twice(tmp_path):
    for name in "ab":
        generate.main(["hours", "--hours", "2", "--records", "100", "--classic-records", "0",
                       "--commodity-records", "50", "--out", str(tmp_path / name)])
    first, second = (sorted((tmp_path / name).iterdir()) for name in "ab")
    assert [p.name for p in first] == [
        "eu-604-20140701T003001Z.json.gz", "eu-604-20140701T013001Z.json.gz",
        "eu-commodities-20140701T003001Z.json.gz", "eu-commodities-20140701T013001Z.json.gz"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
