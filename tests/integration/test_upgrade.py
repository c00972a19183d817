"""An agent that finds a spool which an older one has left, in a schema of its time.

The older agent is gavel-spool-maker with another schema; its state directory is made here.
"""
import json
import subprocess

import fastavro.schema
import pytest

import witness
from gavel_env import BUILD, GAVEL, TOP, Program, until

MAKER, EMBEDDED = BUILD / "bin" / "gavel-spool-maker", BUILD / "bin" / "gavel-embedded"
PREFIX = "upgraded"
SNAPSHOTS, RECORDS = 3, 100


def schema_text(name):
    return (TOP / "schemas" / name).read_text()


def older_text():
    """Today's schema of auctions, before it had unit prices."""
    schema = json.loads(schema_text("auction.avsc"))
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "unit_price"]
    return json.dumps(schema, indent=1)


def file_name(kind, generation, text):
    canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
    digits = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")  # least significant byte first
    return "%s-%04d-%s.avsc" % (kind, generation, bytes.fromhex(digits)[::-1].hex())


@pytest.fixture
def servers():
    process = subprocess.Popen([EMBEDDED, PREFIX], stdout=subprocess.PIPE, text=True)
    yield json.loads(process.stdout.readline())
    process.terminate()
    process.wait(30)


@pytest.fixture
def agent(tmp_path, servers):
    """Starts the agent on the state directory; no API is there, so that it has but its spool."""
    config = tmp_path / "gavel.json"
    config.write_text(json.dumps({
        "state_dir": str(tmp_path / "state"), "sources": [{"region": "eu", "realms": [604]}],
        "api": {"client_id": "env:SOME_ID", "client_secret": "env:SOME_SECRET",
                "base_url": "http://127.0.0.1:1", "token_url": "http://127.0.0.1:1/token"},
        "kafka": {"brokers": servers["brokers"], "topic_prefix": PREFIX},
        "registry": {"urls": [servers["registry"]], "retry_min_ms": 100, "retry_max_ms": 500}}))
    started = []

    def start():
        started.append(Program([GAVEL, "run", "--config", config], tmp_path / "agent.log",
                               {"SOME_ID": "a", "SOME_SECRET": "b"}))
        return started[-1]
    yield start
    for program in started:
        if program.is_alive():
            program.kill()


def shelf(tmp_path):
    return {path.name: path.read_text() for path in (tmp_path / "state" / "schemas").iterdir()}


def test_what_an_older_agent_has_spooled_arrives_in_the_schema_of_its_time(tmp_path, servers, agent):
    text, today = older_text(), schema_text("auction.avsc")
    schemas = tmp_path / "state" / "schemas"
    schemas.mkdir(parents=True)
    older = schemas / file_name("auctions", 1, text)
    older.write_text(text)
    subprocess.run([MAKER, tmp_path / "state" / "spool", str(SNAPSHOTS), str(RECORDS),
                    "schema=%s" % older], check=True, timeout=60)

    program = agent()
    until(lambda: not list((tmp_path / "state" / "spool").glob("*.seg")), "the spool is empty")
    registry = witness.Registry(servers["registry"])
    found = [registry.decode(message.value())
             for message in witness.messages(servers["brokers"], PREFIX + ".raw")]
    assert {record["id"] for _, record, _ in found} == {
        1000000 * number + i for number in range(SNAPSHOTS) for i in range(RECORDS)}
    assert all("unit_price" not in record and record["buyout"] == 2**53 + 1 + record["id"] % 1000000
               for _, record, _ in found)
    (schema_id,) = {schema_id for schema_id, _, _ in found}
    assert json.loads(registry.client.get_schema(schema_id).schema_str) == json.loads(text)
    assert shelf(tmp_path) == {older.name: text, file_name("auctions", 2, today): today,
                               file_name("rejects", 2, schema_text("reject.avsc")):
                               schema_text("reject.avsc")}
    assert program.stop() == 0

    program = agent()  # nothing waits any more: the older one goes
    until(lambda: older.name not in shelf(tmp_path), "the older schema is removed")
    assert len(shelf(tmp_path)) == 2
    assert program.stop() == 0


def test_without_the_text_of_their_schema_batches_wait_and_others_go_on(tmp_path, servers, agent):
    older = tmp_path / "gone.avsc"
    older.write_text(older_text())
    subprocess.run([MAKER, tmp_path / "state" / "spool", "1", "10", "schema=%s" % older],
                   check=True, timeout=60)
    program = agent()
    until(lambda: witness.high_water(servers["brokers"], PREFIX + ".rejects") == 1, "the reject")
    assert witness.high_water(servers["brokers"], PREFIX + ".raw") == 0
    assert program.stop() == 0
    schemas = tmp_path / "state" / "schemas"
    (schemas / file_name("auctions", 1, older_text())).write_text(older_text())  # a person helps
    program = agent()
    until(lambda: witness.high_water(servers["brokers"], PREFIX + ".raw") == 10, "the auctions")
    assert program.stop() == 0
