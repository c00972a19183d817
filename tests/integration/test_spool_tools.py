"""`gavel spool ...`: what it says of spools, whole and damaged ones, and what it takes out of them.

The spools are made by gavel-spool-maker; what ought to be in them is worked out here.
"""
import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
from collections import Counter

import fastavro
import pytest

import witness
from gavel_env import BUILD, GAVEL, SANITIZER, World

MAKER, EMBEDDED = BUILD / "bin" / "gavel-spool-maker", BUILD / "bin" / "gavel-embedded"
FIRST = 1404174601
BLOCK = 4096
BATCH_RECORDS = 40
BIG = 2**53 + 1  # no double can hold it


def make(directory, snapshots=4, records=100, *words):
    subprocess.run([MAKER, directory, str(snapshots), str(records), *words], check=True, timeout=60)
    return directory


def spool(*words, expect=0, env=None):
    done = subprocess.run([GAVEL, "spool", *map(str, words)], capture_output=True, timeout=60,
                          env={**os.environ, **SANITIZER, **(env or {})})
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == expect, "%s: %d\n%s\n%s" % (words, done.returncode, out[-2000:], err)
    return out, err


def name_of(i):
    return "eu/604/0/%d" % (FIRST + 3600 * i)


def state_of(directory):
    """Everything that could have been changed."""
    return {str(p.relative_to(directory)): (p.stat().st_mtime_ns, hashlib.sha256(
        p.read_bytes()).hexdigest() if p.is_file() else sorted(x.name for x in p.iterdir()))
        for p in [directory, *directory.rglob("*")]}


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def segments(directory):
    return sorted(directory.glob("*.seg"))


def lines_of(directory, *words, expect=0):
    out, _ = spool("cat", "--json", "--dir", directory, *words, expect=expect)
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def whole(tmp_path):
    return make(tmp_path / "spool")


# --- ls -------------------------------------------------------------------------------------------

def test_ls_has_a_line_for_each_snapshot_and_totals(whole):
    found = json.loads(spool("ls", "--json", "--dir", whole)[0])
    assert [row["snapshot"] for row in found["snapshots"]] == [name_of(i) for i in range(4)]
    assert [row["first_seq"] for row in found["snapshots"]] == [1, 6, 11, 16]
    assert [row["state"] for row in found["snapshots"]] == ["complete"] * 3 + ["partial"]
    for row in found["snapshots"]:
        assert (row["records"], row["rejects"]) == (100, 1)
        assert row["batches"] == (5 if row["state"] == "complete" else 4)
    assert (found["batches"], found["records"], found["segment_files"]) == (19, 407, 2)
    assert found["bytes"] == sum(p.stat().st_size for p in segments(whole))
    assert sum(row["bytes"] for row in found["snapshots"]) == found["bytes"]
    assert (found["damaged"], found["missing"], found["quarantine_files"]) == (0, 0, 0)
    assert (found["oldest"], found["newest"]) == ("2014-07-01T00:30:01Z", "2014-07-01T03:30:01Z")

    table = spool("ls", "--dir", whole)[0]
    assert re.search(r"^ *11 +eu/604/0/1404181801 +5 +100 +1 +20480 +complete$", table, re.M)
    assert "19 batches with 407 records in 2 segments" in table


def test_ls_by_segments_says_what_is_acknowledged_and_damaged(tmp_path):
    directory = make(tmp_path / "spool", 4, 100, "ack=3")
    flip(segments(directory)[0], 7 * BLOCK)
    found = json.loads(spool("ls", "--segments", "--json", "--dir", directory, expect=1)[0])
    assert [(s["first_seq"], s["last_seq"], s["batches"], s["damaged"]) for s in found["segments"]] \
        == [(1, 16, 15, 1), (17, 19, 3, 0)]
    assert [s["acked"] for s in found["segments"]] == [3, 0]
    assert (found["acked_batches"], found["damaged"]) == (3, 1)


def test_files_that_are_no_segments_are_counted_and_passed_over(whole):
    (whole / "holiday.jpg").write_bytes(b"x" * 5000)
    assert json.loads(spool("ls", "--json", "--dir", whole)[0])["strangers"] == 1
    assert "1 files are none of the spool's" in spool("ls", "--dir", whole)[0]
    assert spool("verify", "--dir", whole)[0].endswith("all good\n")


@pytest.mark.parametrize("where, said", [("state/spool", {}), ("card", {"dir": "card"})])
def test_the_configuration_says_where_the_spool_is(tmp_path, where, said):
    make(tmp_path / where, 1, 10)
    config = tmp_path / "gavel.json"
    config.write_text(json.dumps({
        "state_dir": str(tmp_path / "state"),
        "spool": {key: str(tmp_path / name) for key, name in said.items()}, "sources": [{"region": "eu", "realms": [604]}],
        "api": {"client_id": "env:SOME_ID", "client_secret": "env:SOME_SECRET"},
        "kafka": {"brokers": "127.0.0.1:1"}, "registry": {"urls": ["http://127.0.0.1:1"]}}))
    out, _ = spool("ls", "--config", config, env={"SOME_ID": "a", "SOME_SECRET": "b"})
    assert name_of(0) in out


# --- verify ---------------------------------------------------------------------------------------

def test_verify_counts_exactly_and_says_all_good(whole):
    out, err = spool("verify", "--dir", whole)
    assert "19 batches in %d bytes: 400 auctions, 4 rejects, 3 ledger entries, 0 gap entries" % sum(
        p.stat().st_size for p in segments(whole)) in out
    assert out.endswith("all good\n") and err == ""


def test_no_tool_changes_a_spool_and_a_copy_elsewhere_says_the_same(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    flip(segments(whole)[0], 7 * BLOCK)
    flip(segments(tmp_path / "elsewhere")[0], 7 * BLOCK)
    before = state_of(whole)
    for words in (["ls"], ["ls", "--segments"], ["verify"], ["cat"], ["cat", "--json"],
                  ["replay", "--dry-run"], ["quarantine", "ls"],
                  ["export", "--force", tmp_path / "x.avro"]):
        expect = 0 if words[0] == "quarantine" else 1
        here = spool(*words, "--dir", whole, expect=expect)
        assert here == spool(*words, "--dir", tmp_path / "elsewhere", expect=expect)
    spool("salvage", whole, expect=1)
    assert state_of(whole) == before


def test_verify_names_each_damaged_place_and_what_was_lost(whole):
    flip(segments(whole)[0], 1 * BLOCK + 300)  # in the payload of batch 2: its header is whole
    flip(segments(whole)[0], 7 * BLOCK + 30)   # in the header of batch 8
    out, _ = spool("verify", "--dir", whole, expect=1)
    first = segments(whole)[0].name
    assert "damaged: %s at byte 4096, 4096 bytes: batch 2, 40 records of %s: its checksum is wrong" % (
        first, name_of(0)) in out
    assert "damaged: %s at byte 28672, 4096 bytes: batch 8\n" % first in out
    assert "17 batches in" in out and "340 auctions" in out
    # batch 8 had the last 20 of its snapshot
    assert "damaged places 2, missing batches 0," in out and "records not there 60" in out


def test_verify_names_missing_batches(tmp_path):
    directory = make(tmp_path / "spool", 6, 1000)
    lost = segments(directory)[1]
    first, after = (int(p.stem, 16) for p in segments(directory)[1:3])
    lost.unlink()
    out, _ = spool("verify", "--dir", directory, expect=1)
    assert "missing: batches %d to %d: no file has them, and no gap entry" % (first, after - 1) in out
    assert "missing batches %d," % (after - first) in out


def test_what_was_given_up_on_purpose_is_explained_by_its_gap_entries(tmp_path):
    directory = make(tmp_path / "spool", 6, 1000, "thin=2")
    out, _ = spool("verify", "--dir", directory)
    assert re.search(r"missing: batches \d+ to \d+: given up to make room; gap entries say", out)
    assert "2 gap entries" in out and out.endswith("all good\n")
    states = {row["snapshot"]: row["state"] for row in json.loads(
        spool("ls", "--json", "--dir", directory)[0])["snapshots"]}
    assert Counter(states.values())["gap"] == 2


def test_a_record_that_breaks_its_schema_is_found_behind_right_checksums(tmp_path):
    directory = make(tmp_path / "spool", 1, 10, "body=nonsense")
    out, _ = spool("verify", "--dir", directory, expect=1)
    assert re.search(r"damaged: .* batch 3, 1 records of us/1/0/1404174601: Avro body: ", out)
    assert "2 batches in" in out


def test_a_schema_that_nobody_knows_is_no_damage(tmp_path):
    directory = make(tmp_path / "spool", 1, 10, "unknown")
    assert "1 records are of a schema that this program does not know" in spool(
        "verify", "--dir", directory)[0]
    assert lines_of(directory)[-1]["record"] == "3f"


# --- cat ------------------------------------------------------------------------------------------

def test_cat_prints_every_record_exactly(whole):
    lines = lines_of(whole)
    assert Counter(line["kind"] for line in lines) == {"auctions": 400, "rejects": 4, "ledger": 3}
    auctions = [line for line in lines if line["kind"] == "auctions"]
    for i, line in enumerate(auctions):
        number, row = divmod(i, 100)
        assert line["snapshot"] == name_of(number)
        record = line["record"]
        assert line["key"] == record["id"] == number * 1000000 + row
        assert record["buyout"] == BIG + row and record["bid"] is None
        assert record["snapshot_at"] == (FIRST + 3600 * number) * 1000
        assert record["extra"] == {"new": '"\\u00e9"'} and record["item"]["id"] == 25 + row % 7
    reject = next(line["record"] for line in lines if line["kind"] == "rejects")
    assert reject["raw"].encode("latin-1") == b'{"id":"\xff"}' and reject["row"] == 7
    ledger = [line["record"] for line in lines if line["kind"] == "ledger"]
    assert [entry["snapshot"] for entry in ledger] == [name_of(i) for i in range(3)]
    assert all(entry["records"] == 100 and entry["rejects"] == 1 for entry in ledger)


def test_cat_as_text_leaves_out_what_is_null(whole):
    line = spool("cat", "--dir", whole)[0].splitlines()[1]
    assert line.startswith("eu/604/0/1404174601 auctions 1 {region=\"eu\" realm=604 ")
    assert "buyout=%d" % (BIG + 1) in line and "bid" not in line and "null" not in line


@pytest.mark.parametrize("words, snapshots", [
    (["--snapshot", name_of(2)], [2]), (["--snapshot", "eu/604"], [0, 1, 2, 3]),
    (["--snapshot", "eu/60"], []), (["--from", "2014-07-01T02:30:01Z"], [2, 3]),
    (["--to", "2014-07-01T01:30"], [0]), (["--from", "2014-07-01", "--to", "2014-07-01"], [0, 1, 2, 3]),
    (["--from", "24h"], []), (["--from", "2014-07-01T01:00", "--to", "2014-07-01T03:00"], [1, 2])])
def test_snapshots_are_chosen_by_name_and_time(whole, words, snapshots):
    assert {line["snapshot"] for line in lines_of(whole, *words)} == {name_of(i) for i in snapshots}


# --- export ---------------------------------------------------------------------------------------

def read_avro(path):
    with open(path, "rb") as file:
        return list(fastavro.reader(file))


def test_fastavro_reads_what_was_exported(tmp_path, whole):
    path = tmp_path / "all.avro"
    out, _ = spool("export", path, "--dir", whole)
    assert out.startswith("400 records, %d bytes: " % path.stat().st_size)
    records = read_avro(path)
    wanted = [line["record"] for line in lines_of(whole) if line["kind"] == "auctions"]
    for record in records:
        record["snapshot_at"] = round(record["snapshot_at"].timestamp() * 1000)
    assert records == wanted
    assert not list(tmp_path.glob("*.part"))


def test_export_can_choose(tmp_path, whole):
    path = tmp_path / "some.avro"
    spool("export", path, "--dir", whole, "--kind", "rejects")
    assert [r["raw"] for r in read_avro(path)] == [b'{"id":"\xff"}'] * 4
    spool("export", path, "--dir", whole, "--snapshot", name_of(3), "--force")
    assert [r["id"] for r in read_avro(path)] == list(range(3000000, 3000100))
    assert "--kind is auctions or rejects" in spool("export", path, "--kind", "ledger", expect=2)[1]


def test_export_replaces_nothing_unless_forced(tmp_path, whole):
    path = tmp_path / "mine.avro"
    path.write_text("dear")
    assert "is there already; --force replaces it" in spool(
        "export", path, "--dir", whole, expect=2)[1]
    assert path.read_text() == "dear"


def test_export_leaves_out_what_would_break_the_file_and_says_so(tmp_path):
    directory = make(tmp_path / "spool", 1, 10, "body=nonsense", "unknown")
    _, err = spool("export", tmp_path / "x.avro", "--dir", directory, expect=1)
    assert "2 records are left out" in err
    assert len(read_avro(tmp_path / "x.avro")) == 10


# --- salvage and quarantine -----------------------------------------------------------------------

def test_salvage_brings_every_good_batch_in_order_and_once(tmp_path):
    directory = make(tmp_path / "spool", 6, 1000)
    before = lines_of(directory)
    parts = segments(directory)
    flip(parts[0], 3 * BLOCK + 300)
    lost = 1 + 3  # batch 4
    (directory / "quarantine").mkdir()
    parts[2].rename(directory / "quarantine" / parts[2].name)
    shutil.copy(parts[1], directory / "backup of the card")
    parts[1].rename(directory / "a.renamed")
    out, _ = spool("salvage", directory, "--out", tmp_path / "rescued", expect=1)
    assert "cannot be read: %s/%s at byte %d, 4096 bytes: batch %d, 40 records" % (
        directory, parts[0].name, 3 * BLOCK, lost) in out
    total = json.loads(spool("ls", "--json", "--dir", tmp_path / "rescued")[0])
    assert total["batches"] == len({line["seq"] for line in before}) - 1
    spool("verify", "--dir", tmp_path / "rescued")
    bare = [(line["kind"], line["snapshot"], line["record"]) for line in lines_of(tmp_path / "rescued")]
    assert bare == [(line["kind"], line["snapshot"], line["record"])
                    for line in before if line["seq"] != lost]


def test_salvage_of_a_whole_spool_loses_nothing_and_takes_a_new_directory_only(tmp_path, whole):
    out, _ = spool("salvage", whole, "--out", tmp_path / "new")
    assert "19 good batches in 2 files (0 more are copies of them); cannot be read: 0 places" in out
    assert "is not empty; --out wants a new directory" in spool(
        "salvage", whole, "--out", tmp_path / "new", expect=2)[1]
    assert lines_of(tmp_path / "new") == lines_of(whole)


def test_salvage_without_a_place_only_looks(tmp_path, whole):
    (whole / "quarantine").mkdir()
    (whole / "quarantine" / "odd").write_bytes(b"no batch at all")
    out, _ = spool("salvage", whole, expect=1)
    assert "19 good batches" in out and "quarantine/odd at byte 0, 15 bytes" in out
    assert not list(tmp_path.glob("new*"))


def test_quarantine_tells_good_from_damaged_and_removes_what_is_named(tmp_path, whole):
    assert spool("quarantine", "--dir", whole)[0] == "nothing is set aside\n"
    flip(segments(whole)[0], 7 * BLOCK)
    (whole / "quarantine").mkdir()
    moved = segments(whole)[0]
    moved.rename(whole / "quarantine" / moved.name)
    out, _ = spool("quarantine", "ls", "--dir", whole)
    assert ("%s: 65536 bytes; 15 good batches with 326 records (1 to 16); set aside for 1 damaged "
            "places, 4096 bytes" % moved.name) in out
    assert json.loads(spool("ls", "--json", "--dir", whole)[0])["quarantine_bytes"] == 65536
    assert "is no file in quarantine/" in spool("quarantine", "rm", "../lock", "--dir", whole, expect=2)[1]
    spool("quarantine", "rm", "never-there", "--dir", whole, expect=2)
    assert (whole / "quarantine" / moved.name).exists() and (whole / "lock").exists()
    spool("quarantine", "rm", moved.name, "--dir", whole)
    assert not list((whole / "quarantine").iterdir())


# --- replay ---------------------------------------------------------------------------------------

@pytest.fixture
def broker():
    process = subprocess.Popen([EMBEDDED, "replayed"], stdout=subprocess.PIPE, text=True)
    yield json.loads(process.stdout.readline())
    process.terminate()
    process.wait(30)


def config_for(tmp_path, broker):
    path = tmp_path / "gavel.json"
    path.write_text(json.dumps({
        "state_dir": str(tmp_path / "state"), "sources": [{"region": "eu", "realms": [604]}],
        "api": {"client_id": "env:SOME_ID", "client_secret": "env:SOME_SECRET"},
        "kafka": {"brokers": "127.0.0.1:1", "topic_prefix": "never"},
        "registry": {"urls": [broker["registry"]]}}))
    return path


def test_replay_sends_everything_once(tmp_path, whole, broker):
    before = state_of(whole)
    config = config_for(tmp_path, broker)
    env = {"SOME_ID": "a", "SOME_SECRET": "b"}
    assert "would be sent: 400 auctions, 4 rejects, 3 ledger and gap entries, in 19 batches" in spool(
        "replay", "--dry-run", "--dir", whole)[0]
    out, err = spool("replay", "--dir", whole, "--config", config, "--topic", "replayed",
                     "--broker", broker["brokers"], env=env)
    assert "acknowledged: 400 auctions, 4 rejects, 3 ledger and gap entries, in 19 batches" in out
    assert "arrives twice; that changes nothing in the store" in err
    wanted = lines_of(whole)
    got = {kind: list(witness.messages(broker["brokers"], "replayed." + topic)) for kind, topic in (
        ("auctions", "raw"), ("rejects", "rejects"), ("ledger", "snapshots"))}
    for kind, messages in got.items():
        assert len(messages) == sum(line["kind"] == kind for line in wanted)
    ids = Counter(m.key().decode() for m in got["auctions"])
    assert ids == Counter("eu/604/%d" % line["key"] for line in wanted if line["kind"] == "auctions")
    assert all(m.value()[:1] == b"\0" for m in got["auctions"] + got["rejects"])
    assert [json.loads(m.value()) for m in got["ledger"]] == [
        line["record"] for line in wanted if line["kind"] == "ledger"]
    assert state_of(whole) == before and not (tmp_path / "state").exists()


def test_replay_says_what_it_could_not_send(tmp_path, broker):
    directory = make(tmp_path / "spool", 2, 100, "unknown")
    flip(segments(directory)[0], 300)
    config = config_for(tmp_path, broker)
    out, err = spool("replay", "--dir", directory, "--config", config, "--topic", "replayed", "--broker",
                     broker["brokers"], env={"SOME_ID": "a", "SOME_SECRET": "b"}, expect=1)
    assert "acknowledged: 160 auctions, 2 rejects, 1 ledger" in out
    assert "1 records are left out" in err and "1 damaged places" in err


# --- usage ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, said", [
    ([], "usage: gavel spool"), (["frob"], "unknown command 'spool frob'"),
    (["ls", "--dir", "/nonexistent"], "cannot list directory /nonexistent"),
    (["ls", "extra", "--dir", "."], "'extra' is not understood"),
    (["export", "--dir", "."], "needs a name"), (["salvage"], "needs a name"),
    (["cat", "--dir", ".", "--from", "yesterday"], "'yesterday' is no time"),
    (["cat", "--dir", ".", "--snapshot", "eu/x"], "'eu/x' is no snapshot"),
    (["quarantine", "mv", "--dir", "."], "has ls and rm FILE, not 'mv'"),
    (["replay", "--dir", ".", "--config", "/nonexistent.json"], "/nonexistent.json")])
def test_wrong_words_are_answered_in_plain_ones(words, said):
    assert said in spool(*words, expect=2)[1]


def test_help_has_an_example_for_each_command():
    out, _ = spool("--help")
    for name in ("ls", "verify", "cat", "export", "replay", "salvage", "quarantine"):
        assert re.search(r"example: gavel spool %s\b" % name, out)
    assert "spool" in subprocess.run([GAVEL, "--help"], capture_output=True, text=True).stdout


def test_an_empty_spool_is_all_good(tmp_path):
    directory = make(tmp_path / "spool", 0, 0)
    assert "all good" in spool("verify", "--dir", directory)[0]
    assert json.loads(spool("ls", "--json", "--dir", directory)[0])["snapshots"] == []
    assert lines_of(directory) == []


# --- live ones, and terminals -----------------------------------------------------------------------

def test_a_spool_that_is_being_written_is_never_called_damaged(tmp_path):
    make(tmp_path / "spool", 1, 10)  # so that there is a directory to look at
    writer = subprocess.Popen([MAKER, tmp_path / "spool", "30", "5000"])
    seen = []
    while writer.poll() is None:
        out, _ = spool("verify", "--dir", tmp_path / "spool")
        seen.append(int(re.search(r"^(\d+) batches in", out, re.M)[1]))
    assert writer.returncode == 0
    out, _ = spool("verify", "--dir", tmp_path / "spool")
    assert "%d batches in" % (2 + 30 * 127 - 1) in out
    assert seen == sorted(seen) and 0 < seen[0] < 2 + 30 * 127 - 1


class Nobody:
    """Servers that do not answer."""
    kafka, registry, mongo = "127.0.0.1:1", "http://127.0.0.1:1", "mongodb://127.0.0.1:1"


def test_the_spool_of_a_running_agent_can_be_looked_into(tmp_path):
    world = World(tmp_path, Nobody())
    try:
        world.serve("--generate", "eu-604:100k")
        agent = world.agent()
        agent.wait_log("snapshot spooled.* snapshot=eu/604/")
        (row,) = json.loads(spool("ls", "--json", "--dir", world.state / "spool")[0])["snapshots"]
        assert row["state"] == "complete" and row["records"] > 100
        assert spool("verify", "--dir", world.state / "spool")[0].endswith("all good\n")
        lines = lines_of(world.state / "spool", "--snapshot", row["snapshot"])
        ledger = next(line["record"] for line in lines if line["kind"] == "ledger")
        kinds = Counter(line["kind"] for line in lines)
        assert (ledger["records"], ledger["rejects"]) == (kinds["auctions"], kinds["rejects"])
        assert kinds["auctions"] == row["records"] == len(
            {line["key"] for line in lines if line["kind"] == "auctions"})
        assert agent.is_alive() and agent.stop() == 0
    finally:
        world.close()


def test_a_terminal_sees_how_far_it_is(tmp_path, whole):
    ours, theirs = pty.openpty()
    with open(tmp_path / "out", "wb") as out:
        code = subprocess.run([GAVEL, "spool", "verify", "--dir", whole], stdout=out, stderr=theirs,
                              timeout=60).returncode
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert code == 0
    assert re.search(r"\r\[[#.]{20}\] \d+\.\d MB  \d+ batches  \d+ records\x1b\[K", text)
    assert text.endswith("\r\x1b[K")  # and the line is gone at the end
