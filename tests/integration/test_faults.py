"""Every fault of the stand-in API, against one agent and one sink that live through all of them.

Each test is a new hour: its snapshot meets a fault, the agent says why, nothing of it is called
complete; then the fault ends and the snapshot arrives whole.
"""
import gzip
import re

import pytest

import witness
from gavel_env import World, until
from witness import Snapshot

FIRST_HOUR = 1404174601
BODY_BYTES = 12_000

# name, fault, the reason that the agent gives (a regular expression)
FAULTS = [
    ("stalled", {"kind": "stall"}, "no byte for 1500 ms"),
    ("stalled-before-the-status-line", {"kind": "stall", "after": -1}, "no answer within 1500 ms"),
    ("cut", {"kind": "cut"}, r"the body ended after \d+ bytes"),
    ("cut-politely", {"kind": "cut", "close_notify": True}, r"the body ended after \d+ bytes"),
    ("cut-at-once", {"kind": "cut", "after": -1}, "604/auctions: "),
    ("reset", {"kind": "reset"}, r"the body ended after \d+ bytes: .*reset"),
    ("401", {"kind": 401}, "HTTP 401: the API refused a fresh token"),
    ("404", {"kind": 404}, "HTTP 404: the API knows no such realm"),
    ("429", {"kind": 429, "retry_after": 1}, "HTTP 429: the API asks for fewer requests"),
    ("500", {"kind": 500}, "HTTP 500: the API is in trouble"),
    ("502", {"kind": 502}, "HTTP 502: the API is in trouble"),
    ("503", {"kind": 503, "retry_after": 1}, "HTTP 503: the API is in trouble"),
    ("504", {"kind": 504}, "HTTP 504: the API is in trouble"),
    ("empty", {"kind": "empty"}, "the answer has no Last-Modified"),
    ("not-json", {"kind": "not-json"}, "the answer has no Last-Modified"),
    ("wrong-realm", {"kind": "wrong-realm"}, "the body is of connected realm 605, asked was 604"),
    ("late-wrong-realm", {"kind": "late-connected-realm", "realm": 1305},
     "the body is of connected realm 1305, asked was 604"),
    ("no-auctions", {"kind": "no-auctions"}, "has no array .*auctions"),
    ("malformed", {"kind": "malformed"}, r"not JSON at byte \d+: expected"),
    ("truncated", {"kind": "truncated"}, "the document ends too early"),
    ("trailing", {"kind": "trailing"}, "expected nothing after the document"),
    ("bad-gzip", {"kind": "bad-gzip"}, "gzip|not JSON"),
    ("huge-spaces", {"kind": "huge", "fill": "spaces"}, "larger than the 1048576 bytes allowed"),
]
TOKEN_FAULTS = [
    ("refused", {"kind": 401, "match": "/token"}, "the API refused the client id or secret"),
    ("failing", {"kind": 500, "match": "/token"}, "the token endpoint answered HTTP 500"),
    ("limited", {"kind": 429, "match": "/token"}, "the token endpoint answered HTTP 429"),
    ("malformed", {"kind": "malformed", "match": "/token"}, "the token reply is not JSON"),
    ("empty", {"kind": "empty", "match": "/token"}, "the token reply is not JSON"),
    ("cut", {"kind": "cut", "match": "/token"}, r"token: the body ended after \d+ bytes"),
    ("stalled", {"kind": "stall", "match": "/token"}, "token: no byte for 1500 ms"),
    ("over", {"kind": "expired"}, "the token had expired when it came"),
]


def generated(world, hour):
    (path,) = world.directory.glob("api/generated/*-hour%d.json.gz" % hour)
    return Snapshot(gzip.decompress(path.read_bytes()), FIRST_HOUR + 3600 * hour)


class Fleet:
    """One agent, one sink, and an hour for each test."""

    def __init__(self, world):
        self.world, self.hour = world, 0
        world.serve("--generate", "eu-604:%d" % BODY_BYTES)
        # Small batches: half a body is on its way to Kafka when the other half fails.
        world.configure(api={"max_body_mib": 1}, memory={"batch_kib": 64})
        self.agent, self.sink = world.agent(), world.sink()
        self.arrives(0)

    def next(self, **control):
        """A new snapshot comes; whatever else the stand-in is told, it is told before."""
        self.hour += 1
        if control:
            self.world.api.control(**control)
        self.world.api.control(hour=self.hour)
        return self.hour

    def name(self, hour):
        return "eu/604/0/%d" % (FIRST_HOUR + 3600 * hour)

    def is_in_ledger(self, hour):
        return self.name(hour) in witness.ledger_entries(self.world)

    def arrives(self, hour):
        """MongoDB comes to hold exactly the source's auctions, and the verdict is complete."""
        name = self.name(hour)
        until(lambda: witness.verdicts(self.world).get(name, {}).get("state") == "complete",
              "snapshot %s complete" % name, poll_s=0.2)
        assert self.agent.is_alive() and self.sink.is_alive()
        snapshot = generated(self.world, hour)
        found = witness.database(self.world)[self.world.raw].find({"snapshot": name})
        documents = {document["id"]: document for document in found}
        assert documents.keys() == {record["id"] for record in snapshot.records}
        for record in snapshot.records:
            wanted = witness.document_of(record)
            document = documents[record["id"]]
            assert {key: document[key] for key in wanted} == wanted


@pytest.fixture(scope="module")
def fleet(services, tmp_path_factory):
    world = World(tmp_path_factory.mktemp("fleet"), services)
    yield Fleet(world)
    world.close()


@pytest.fixture(autouse=True)
def no_fault_is_left(request):
    yield
    if "fleet" in request.fixturenames:
        request.getfixturevalue("fleet").world.api.control(faults=[], release=True)


@pytest.mark.parametrize("fault, reason", [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_snapshot_that_breaks_is_not_complete_and_comes_when_the_fault_ends(fleet, fault, reason):
    hour = fleet.next(fault={"match": "/data/wow/connected-realm", **fault})
    since = fleet.agent.mark()
    why = r'msg="snapshot not fetched" feed=eu/604/0 reason="[^\n]*%s[^\n]*' % reason
    fleet.agent.wait_log(r"%s\n(.*\n)*.*%s" % (why, why), since)
    assert "level=error" not in fleet.agent.log()[since:]
    assert not fleet.is_in_ledger(hour)
    assert fleet.agent.is_alive()
    fleet.world.api.control(faults=[], release=True)
    fleet.arrives(hour)


@pytest.mark.parametrize("fault, reason", [f[1:] for f in TOKEN_FAULTS],
                         ids=[f[0] for f in TOKEN_FAULTS])
def test_without_a_token_the_agent_says_so_and_goes_on_when_it_gets_one(fleet, fault, reason):
    hour = fleet.next(fault=fault, revoke_tokens=True)
    since = fleet.agent.mark()
    fleet.agent.wait_log(r'msg="no access token" error="[^\n]*(%s)' % reason, since)
    assert not fleet.is_in_ledger(hour)
    fleet.world.api.control(faults=[], release=True)
    fleet.arrives(hour)


def test_a_revoked_token_is_replaced_once(fleet):
    fleet.world.api.control(reset_counters=True)
    hour = fleet.next(revoke_tokens=True)
    fleet.arrives(hour)
    state = fleet.world.api.state()
    assert state["tokens_issued"] == 1 and 1 <= state["counts"]["status_401"] <= 2


def test_a_realm_named_behind_its_auctions_is_looked_at_first_and_then_taken(fleet):
    hour = fleet.next(fault={"kind": "late-connected-realm"})
    fleet.arrives(hour)
    (path,) = [p for p in fleet.world.api.state()["by_path"] if p.endswith("/604/auctions")]
    records = len(generated(fleet.world, hour).records)
    sent = [m for m in witness.messages(fleet.world.services.kafka, fleet.world.raw)
            if m.timestamp()[1] == (FIRST_HOUR + 3600 * hour) * 1000]
    assert len(sent) == records, "nothing was sent of the first look at " + path


def test_a_slow_line_is_no_fault(fleet):
    hour = fleet.next(fault={"kind": "slow", "bytes_per_second": 4000})
    fleet.arrives(hour)
    assert any(r["fault"] == "slow" and r["complete"] for r in fleet.world.api.state()["requests"])


def test_retry_after_is_obeyed_by_all_requests(fleet):
    fleet.world.api.control(reset_counters=True)
    hour = fleet.next(fault={"kind": 429, "retry_after": 2, "times": 1})
    fleet.arrives(hour)
    times = [(r["t"], r["status"]) for r in fleet.world.api.state()["requests"]]
    limited = next(t for t, status in times if status == 429)
    assert min(t for t, _ in times if t > limited) - limited >= 1.9


def test_invalid_utf8_is_replaced_and_counted_and_the_snapshot_goes_on(world):
    world.serve("--generate", "eu-604:%d" % BODY_BYTES)
    world.api.control(fault={"kind": "invalid-utf8", "count": 5})
    log = world.once()
    assert re.search(r"snapshot forwarded.* rejects=0 unknown_members=5 replaced_utf8=10 ", log)
    world.load()
    (path,) = world.directory.glob("api/generated/*-hour0.json.gz")
    body = gzip.decompress(path.read_bytes()).replace(b'"time_left":',
                                                      b'"owner":"Gr\xfc\xdfe","time_left":', 5)
    witness.check_all_is_there(world, [Snapshot(body, FIRST_HOUR)])


@pytest.mark.parametrize("fault", [
    {"kind": 500}, {"kind": "malformed"}, {"kind": "truncated"}, {"kind": "empty"},
    {"kind": "not-json"}, {"kind": "cut"}], ids=lambda fault: str(fault["kind"]))
def test_an_index_that_fails_is_asked_again(world, fault):
    world.serve("--generate", "eu-604:9k", "--generate", "eu-1305:9k")
    world.configure(sources=[{"region": "eu", "realms": "all"}])
    index = "/data/wow/connected-realm/index"
    world.api.control(fault={"match": index, "exact": True, "times": 2, **fault})
    agent = world.agent()
    for realm in (604, 1305):
        agent.wait_log("snapshot forwarded.* snapshot=eu/%d/" % realm)
    assert world.api.state()["by_path"][index]
    assert witness.ledger_entries(world).keys() == {
        "eu/%d/0/%d" % (realm, FIRST_HOUR) for realm in (604, 1305)}


@pytest.mark.parametrize("kind", ["cut", "reset", "malformed", "truncated", "bad-gzip"])
def test_rows_of_a_large_body_that_broke_half_way_do_no_harm(world, kind):
    """Half of the body is in Kafka before it breaks: fetched again, it is the same rows."""
    world.serve("--generate", "eu-604:900k")
    world.configure(memory={"batch_kib": 64})
    world.api.control(fault={"kind": kind, "match": "/data/wow/connected-realm", "times": 2})
    log = world.once()
    assert log.count("snapshot not fetched") == 2
    snapshot = generated(world, 0)
    assert witness.high_water(world.services.kafka, world.raw) > len(snapshot.records)
    world.load()
    witness.check_documents(world, [snapshot])
    witness.check_complete(world, [snapshot])


def test_a_body_without_end_is_given_up_at_the_cap_and_does_no_harm(world):
    """Its first records come over and over; the store keeps them as copies, and they do not count.
    SQLite, because thousands of copies take FerretDB minutes."""
    world.serve("--generate", "eu-604:%d" % BODY_BYTES)
    path = world.directory / "gavel.db"
    world.configure(api={"max_body_mib": 1}, memory={"batch_kib": 64},
                    sink={"store": "sqlite"}, sqlite={"path": str(path)})
    world.api.control(fault={"kind": "huge", "match": "/data/wow/connected-realm", "times": 1})
    log = world.once()
    assert re.search("snapshot not fetched.* larger than the 1048576 bytes allowed", log)
    snapshot = generated(world, 0)
    assert witness.high_water(world.services.kafka, world.raw) > len(snapshot.records)
    world.load()
    rows = witness.rows_of(path, world.raw)
    assert {name for name, _ in rows} == witness.expected_rows([snapshot]).keys()
    code, found = world.audit()
    assert code == 0 and found[snapshot.name]["state"] == "complete"
