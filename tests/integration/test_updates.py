"""Configuration over the air, seen from a real agent: what works comes into force, what breaks a board is
undone and told, and no record is lost on the way."""
import json
import re
import signal
import urllib.request

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import witness
from gavel_env import BUILD, Program, until
from owner import Folder, Owner
from test_lifecycle import snapshot_of

TRIAL_MS = 3000


# A trial looks at memory: what the sanitizers need beside the agent's is no sign against an update.
BUDGET = {"budget_kib": 131072} if BUILD.name == "asan" else {}


@pytest.fixture
def folder():
    here = Folder()
    yield here
    here.close()


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def board(world, folder, owner):
    """A world whose agent takes updates."""
    world.serve("--generate", "eu-604:100k")
    world.configure(ota={"url": folder.url, "keys": [owner.key], "groups": ["attic"],
                         "poll_ms": 1000, "trial_ms": TRIAL_MS},
                    status={"enabled": False}, memory=BUDGET)
    return world


def config_of(world, **changes):
    """What the owner would send this board: what its own file says and an update may, and changes."""
    api = world.api.about
    config = {
        "sources": [{"region": "eu", "realms": [604]}],
        "api": {"base_url": api["base_url"] + "/{region}", "token_url": api["base_url"] + "/token",
                "retry_min_ms": 50, "retry_max_ms": 400, "late_poll_min_ms": 200,
                "late_poll_max_ms": 400, "stall_timeout_ms": 1500},
        "kafka": {"brokers": world.services.kafka, "topic_prefix": world.prefix,
                  "properties": {"reconnect.backoff.max.ms": 500}},
        "registry": {"urls": [world.services.registry], "retry_min_ms": 100, "retry_max_ms": 500},
        "memory": {**BUDGET},
    }
    for group, members in changes.items():
        config.setdefault(group, {}).update(members)
    return config


def kept(world):
    """What the board remembers of updates."""
    path = world.state / "config" / "state"
    return json.loads(path.read_text().split("\n", 1)[1]) if path.exists() else {"history": []}


def outcomes(world):
    return [(each["version"], each["outcome"]) for each in kept(world)["history"]]


def wait_outcome(world, version, outcome, deadline_s=60):
    until(lambda: (version, outcome) in outcomes(world), "%s of version %d" % (outcome, version),
          deadline_s)


def committed(world, folder, owner, version, **changes):
    """An agent that has an update in force."""
    folder.put(owner.sign(version, config_of(world, **changes)))
    agent = world.agent()
    wait_outcome(world, version, "committed")
    return agent


# --- what works ---------------------------------------------------------------------------------

def test_good_update_comes_into_force_and_no_record_is_lost(board, folder, owner):
    agent = board.agent()
    agent.wait_log("snapshot forwarded")
    board.api.control(fault={"kind": "slow", "match": "/data/wow/connected",
                             "bytes_per_second": 50000}, hour=1)
    folder.put(owner.sign(3, config_of(board, memory={"batch_kib": 64})))
    wait_outcome(board, 3, "committed")
    board.api.control(faults=[])
    agent.wait_log("msg=.an update works and is in force from now on. version=3")
    until(lambda: re.search(r"msg=.configuration changed. option=memory.batch_kib", agent.log()),
          "the log tells what has changed")
    until(lambda: len(witness.ledger_entries(board)) == 2, "both snapshots are complete")
    assert agent.stop() == 0
    snapshots = [snapshot_of(board), snapshot_of(board, 1)]
    witness.check_ledger(board, snapshots, witness.check_raw_topic(board, snapshots, resent=True))
    assert kept(board)["good"]["version"] == 3 and kept(board)["highest"] == 3


def test_update_stays_in_force_after_a_restart_and_is_asked_for_conditionally(board, folder, owner):
    agent = committed(board, folder, owner, 5, memory={"batch_kib": 64})
    assert agent.stop() == 0
    before = outcomes(board)
    agent = board.agent()
    since = len(folder.requests)
    until(lambda: [s for _, s in folder.requests[since:]].count(304) >= 2, "conditional requests")
    assert "updates are not" not in agent.log() and "an update is not taken" not in agent.log()
    assert agent.stop() == 0
    assert outcomes(board) == before
    shown = board.launch(board.gavel, "config", "show", log="show.log")
    assert shown.wait() == 0
    assert re.search(r"^// update 5 ", shown.out()) and re.search(
        r'"batch_kib": 64,? // update', shown.out())


def test_own_device_and_groups_are_asked_for_and_the_highest_version_wins(board, folder, owner):
    folder.put(owner.sign(4, config_of(board), targets={"groups": ["attic"]}), "groups/attic.gavel")
    folder.put(owner.sign(9, config_of(board), targets={"devices": ["e2e"]}), "devices/e2e.gavel")
    folder.put(owner.sign(6, config_of(board)))
    board.agent()
    wait_outcome(board, 9, "committed")
    assert outcomes(board) == [(9, "trial"), (9, "committed")]


# --- what breaks a board -------------------------------------------------------------------------

@pytest.mark.parametrize("changes, reason", [
    ({"kafka": {"brokers": "127.0.0.1:1"}}, "the broker did not answer"),
    ({"registry": {"urls": ["http://127.0.0.1:1"]}}, "the schema registry did not answer"),
    ({"api": {"token_url": "https://127.0.0.1:1/token"}}, "the API gave no access token"),
], ids=["broker", "registry", "api"])
def test_update_that_breaks_the_board_is_undone_refused_and_not_tried_again(
        board, folder, owner, changes, reason):
    agent = committed(board, folder, owner, 2)
    folder.put(owner.sign(3, config_of(board, **changes)))
    wait_outcome(board, 3, "refused")
    state = kept(board)
    assert state["good"]["version"] == 2 and state["highest"] == 3
    assert reason in state["refused"][0]["reason"] and reason in state["history"][-1]["reason"]
    until(lambda: "msg=\"an update is refused for good" in agent.log(), "the log tells of it")
    board.api.control(hour=1)
    until(lambda: len(witness.ledger_entries(board)) == 2, "the next snapshot is complete")
    assert agent.stop() == 0
    agent = board.agent()  # the broken one is still published
    asked = len(folder.statuses())
    until(lambda: len(folder.statuses()) >= asked + 3, "further looks")
    assert agent.stop() == 0
    assert outcomes(board) == [(2, "trial"), (2, "committed"), (3, "trial"), (3, "refused")]
    assert "an update is being tried" not in agent.log()
    snapshots = [snapshot_of(board), snapshot_of(board, 1)]
    witness.check_ledger(board, snapshots, witness.check_raw_topic(board, snapshots, resent=True))


@pytest.mark.parametrize("config, reason", [
    ({"kafka": {"broker": "x:9092"}}, "kafka.broker"),
    ({"ota": {"url": "http://example"}}, "ota"),
    ({"memory": {"budget_kib": 4096}}, "memory.budget_kib"),
], ids=["option", "board-owned", "memory"])
def test_update_that_cannot_be_a_configuration_is_refused_without_a_trial(
        board, folder, owner, config, reason):
    folder.put(owner.sign(8, {**config_of(board), **config}))
    agent = board.agent()
    wait_outcome(board, 8, "refused")
    assert outcomes(board) == [(8, "refused")] and reason in kept(board)["refused"][0]["reason"]
    agent.wait_log("msg=.an update is not taken. from=all.gavel verdict=bad_config")
    assert agent.is_alive() and agent.stop() == 0


def test_network_that_goes_during_the_trial_postpones_the_update(board, folder, owner):
    agent = committed(board, folder, owner, 1)
    folder.put(owner.sign(2, config_of(board, memory={"batch_kib": 64})))
    board.api.control(faults=[{"kind": "status", "status": 503, "match": "/token"},
                              {"kind": "status", "status": 503, "match": "/data"}])
    wait_outcome(board, 2, "postponed")
    assert kept(board)["good"]["version"] == 1
    board.api.control(faults=[])
    wait_outcome(board, 2, "committed")
    assert outcomes(board)[2:] == [(2, "trial"), (2, "postponed"), (2, "committed")]
    assert agent.stop() == 0


# --- what may happen during a trial ----------------------------------------------------------------

def test_agent_that_is_killed_in_its_trials_goes_back_and_refuses_the_update(board, folder, owner):
    board.configure(ota={"trial_ms": 600000})
    agent = committed(board, folder, owner, 1)
    folder.put(owner.sign(2, config_of(board, kafka={"brokers": "127.0.0.1:1"})))
    for start in range(1, 4):
        until(lambda: kept(board)["trial"]["version"] == 2 and kept(board)["starts"] == start,
              "start %d of the trial" % start)
        agent.kill()
        agent = board.agent()
    wait_outcome(board, 2, "refused")
    assert "ended 3 times" in kept(board)["refused"][0]["reason"]
    assert kept(board)["good"]["version"] == 1
    assert agent.stop() == 0


def test_agent_that_is_stopped_in_a_trial_goes_on_with_it(board, folder, owner):
    board.configure(ota={"trial_ms": 600000})
    agent = committed(board, folder, owner, 1)
    board.api.control(fault={"kind": "status", "status": 503, "match": "/token"})
    folder.put(owner.sign(2, config_of(board)))
    for _ in range(4):  # more often than it may crash
        agent.wait_log("msg=.an update is being tried. version=2")
        assert agent.stop() == 0
        agent = board.agent()
    board.api.control(faults=[])
    wait_outcome(board, 2, "committed")


# --- who may send ------------------------------------------------------------------------------------

@pytest.mark.parametrize("make, verdict", [
    (lambda o, c: Owner().sign(7, c), "unknown_key"),
    (lambda o, c: o.sign(7, c).replace(b"all", b"ALL"), "bad_signature"),
    (lambda o, c: o.sign(7, c)[:-1] + b" ", "bad_hash"),
    (lambda o, c: o.sign(7, c, targets={"devices": ["cellar"]}), "not_for_us"),
    (lambda o, c: o.sign(7, c, agent_min="99.0"), "needs_agent"),
    (lambda o, c: o.sign(7, c) + b" " * 80000, "too_large"),
    (lambda o, c: o.sign(7, c)[:500], "broken"),
    (lambda o, c: o.sign(2, c), "old"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_bundle_that_is_not_believed_changes_nothing_and_is_told_once(
        board, folder, owner, make, verdict):
    agent = committed(board, folder, owner, 3)
    before = kept(board)
    folder.put(make(owner, config_of(board, memory={"batch_kib": 64})))
    agent.wait_log("an update is not taken. from=all.gavel verdict=%s" % verdict)
    asked = len(folder.statuses())
    until(lambda: len(folder.statuses()) >= asked + 3, "further looks")
    assert agent.log().count("an update is not taken") == 1
    assert folder.statuses()[-1] == 304  # it is not even fetched again
    assert kept(board) == before
    assert agent.stop() == 0


def test_older_update_is_not_taken_after_a_restart_or_with_a_damaged_state(board, folder, owner):
    agent = committed(board, folder, owner, 4)
    assert agent.stop() == 0
    path = board.state / "config" / "state"
    path.write_bytes(path.read_bytes()[:-30])
    folder.put(owner.sign(3, config_of(board, kafka={"brokers": "127.0.0.1:1"})))
    agent = board.agent()
    agent.wait_log("the state of updates is damaged: the board's own file is in force")
    agent.wait_log("an update is not taken. from=all.gavel verdict=old")
    assert kept(board)["highest"] == 4 and kept(board)["good"]["version"] == 0
    assert (board.state / "config" / "state.damaged-1").exists()
    folder.put(owner.sign(5, config_of(board)))
    wait_outcome(board, 5, "committed")
    assert agent.stop() == 0


def test_update_whose_key_is_no_longer_pinned_gives_way_to_the_own_file(board, folder, owner):
    agent = committed(board, folder, owner, 4, memory={"batch_kib": 64})
    board.configure(ota={"keys": [Owner().key]})
    since = agent.mark()
    agent.signal(signal.SIGHUP)
    agent.wait_log("the update in force cannot be used: the board's own file is in force", since)
    agent.wait_log("msg=started", since)
    board.configure(ota={"keys": [owner.key]})
    since = agent.mark()
    agent.signal(signal.SIGHUP)
    agent.wait_log("option=memory.batch_kib", since)
    assert agent.stop() == 0


def test_own_file_that_is_edited_leaves_the_update_in_force_and_says_so(board, folder, owner):
    agent = committed(board, folder, owner, 4, memory={"batch_kib": 64})
    board.configure(memory={"batch_kib": 256}, shutdown_timeout_ms=5000)
    since = agent.mark()
    agent.signal(signal.SIGHUP)
    agent.wait_log("otherwise than the board's own file. option=memory.batch_kib", since)
    agent.wait_log("msg=started", since)
    assert agent.stop() == 0


def test_server_that_fails_is_asked_less_often(board, folder, owner):
    folder.failing = True
    agent = board.agent()
    agent.wait_log(r"msg=.no look for updates. reason=.devices/e2e.gavel: HTTP 503")
    until(lambda: len(folder.requests) >= 2, "a second look")
    assert agent.log().count("no look for updates") == 1
    folder.failing = False
    folder.put(owner.sign(1, config_of(board)))
    wait_outcome(board, 1, "committed")
    assert agent.stop() == 0


# --- what a person does on the board --------------------------------------------------------------

def command(world, *words, expect=0, plain=False):
    """`gavel config ...`: what it printed."""
    log = "config-%d.log" % len(world.programs)
    if plain:  # without the board's configuration
        done = Program([world.gavel, "config", *words], world.directory / log)
        world.programs.append(done)
    else:
        done = world.launch(world.gavel, "config", *words, log=log)
    assert done.wait() == expect, done.log()
    return done.out()


def test_revert_takes_back_what_is_in_force_beside_a_running_agent(board, folder, owner):
    agent = committed(board, folder, owner, 4, memory={"batch_kib": 64})
    folder.put(owner.sign(5, config_of(board, memory={"batch_kib": 80})))
    wait_outcome(board, 5, "committed")
    since = agent.mark()
    said = command(board, "revert")
    assert "version 5 is reverted" in said and "in force: version 4" in said
    agent.wait_log("option=memory.batch_kib", since)
    said = command(board, "revert", "--own-file")
    assert "version 4 is reverted" in said and "in force: the board's own file" in said
    assert "nothing to revert" in command(board, "revert", expect=1)
    asked = len(folder.statuses())
    until(lambda: len(folder.statuses()) >= asked + 3, "further looks")
    assert agent.stop() == 0
    assert outcomes(board)[-2:] == [(5, "reverted"), (4, "reverted")]
    history = command(board, "history")
    assert re.search(r"version 5 +reverted", history) and "in force: the board's own file" in history
    assert json.loads(command(board, "history", "--json"))["highest"] == 5


def test_revert_works_without_an_agent_and_ends_a_trial(board, folder, owner):
    board.configure(ota={"trial_ms": 600000})
    agent = committed(board, folder, owner, 1)
    folder.put(owner.sign(2, config_of(board, kafka={"brokers": "127.0.0.1:1"})))
    agent.wait_log("msg=.an update is being tried. version=2")
    assert agent.stop() == 0
    said = command(board, "revert")
    assert "version 2 is reverted" in said and "in force: version 1" in said
    agent = board.agent()
    asked = len(folder.statuses())
    until(lambda: len(folder.statuses()) >= asked + 3, "further looks")
    assert agent.stop() == 0
    assert outcomes(board)[-1] == (2, "reverted")


# --- what the owner sees ----------------------------------------------------------------------------

def told(world):
    """The last word of the board in the status topic."""
    topic = world.prefix + ".status"
    if topic not in witness.topics(world.services.kafka):
        return None
    last = None
    for message in witness.messages(world.services.kafka, topic):
        assert message.key() == b"e2e"
        last = json.loads(message.value())
    return last


def test_owner_is_told_through_kafka_what_is_in_force_and_what_was_refused(board, folder, owner):
    agent = committed(board, folder, owner, 2)
    until(lambda: (told(board) or {}).get("outcome") == "committed", "the word of it")
    assert told(board)["version"] == 2 and told(board)["device"] == "e2e"
    folder.put(owner.sign(3, config_of(board, kafka={"brokers": "127.0.0.1:1"})))
    until(lambda: told(board)["outcome"] == "refused", "the word of the refusal")
    last = told(board)
    assert last["version"] == 2 and last["attempted_version"] == 3
    assert "the broker did not answer" in last["reason"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", last["at"])
    assert agent.stop() == 0


# --- through Kafka ------------------------------------------------------------------------------------

def test_update_comes_through_the_topic_and_others_are_left_alone(board, owner):
    board.configure(ota={"url": "", "kafka": True})
    send(board, "device/cellar", owner.sign(9, config_of(board), targets={"devices": ["cellar"]}))
    send(board, "group/attic", owner.sign(4, config_of(board), targets={"groups": ["attic"]}))
    agent = board.agent()
    wait_outcome(board, 4, "committed")
    send(board, "device/e2e", owner.sign(6, config_of(board, kafka={"brokers": "127.0.0.1:1"}),
                                         targets={"devices": ["e2e"]}))
    wait_outcome(board, 6, "refused")
    assert agent.stop() == 0
    assert outcomes(board) == [(4, "trial"), (4, "committed"), (6, "trial"), (6, "refused")]
    assert "an update is not taken" not in agent.log()


def send(world, key, bundle):
    topic = world.prefix + ".config"
    if topic not in witness.topics(world.services.kafka):
        admin = AdminClient({"bootstrap.servers": world.services.kafka})
        made = admin.create_topics([NewTopic(topic, 1, config={"cleanup.policy": "compact"})])
        made[topic].result(30)
    producer = Producer({"bootstrap.servers": world.services.kafka})
    producer.produce(topic, key=key, value=bundle)
    assert producer.flush(30) == 0


# --- from the owner's desk to the status page ------------------------------------------------------------

def test_what_our_own_tools_sign_and_publish_is_taken_and_shown_on_the_status_page(board, folder):
    keys, published = board.directory / "keys", board.directory / "published"
    keys.mkdir()
    said = command(board, "keygen", "--out", keys, plain=True)
    key = re.search(r"[A-Za-z0-9+/]{120,124}=*", said)[0]
    board.configure(ota={"keys": [key]}, status={"enabled": True, "listen": "127.0.0.1:0"})
    update = board.directory / "update.json"
    update.write_text(json.dumps(config_of(board, memory={"batch_kib": 64})))
    (private,) = keys.glob("*.key")
    bundle = board.directory / "update.gavel"
    command(board, "sign", "--key", private, "--config", update, "--version", "7", "--device", "e2e",
            "--out", bundle, plain=True)
    command(board, "publish", "--to", published, bundle, plain=True)
    folder.put((published / "devices" / "e2e.gavel").read_bytes(), "devices/e2e.gavel")
    folder.put(Owner().sign(9, config_of(board)))
    agent = board.agent()
    wait_outcome(board, 7, "committed")

    def address():
        return "http://127.0.0.1:" + re.findall(r"status page.*port=(\d+)", agent.log())[-1]

    def shown():
        with urllib.request.urlopen(address() + "/status.json", timeout=10) as page:
            return json.load(page)["update"]
    running = shown()
    assert (running["version"], running["from"]) == (7, "update")
    assert (running["attempted"]["version"], running["attempted"]["outcome"]) == (7, "committed")
    assert "the same configuration" in command(board, "diff", bundle, "--board", address(), plain=True)
    update.write_text(json.dumps(config_of(board, memory={"batch_kib": 128}, log={"level": "debug"})))
    said = command(board, "diff", update, "--board", address(), plain=True, expect=1)
    assert said.splitlines()[2:] == ["memory.batch_kib: 64 -> 128", 'log.level: "info" -> "debug"']
    with urllib.request.urlopen(address() + "/config.json", timeout=10) as page:
        update.write_bytes(page.read())  # what a board shows may be signed as it is
    command(board, "sign", "--key", private, "--config", update, "--version", "8", "--device", "e2e",
            "--out", bundle, plain=True)
    assert "nothing would change" in command(board, "diff", bundle, "--board", address(), plain=True)
    until(lambda: shown()["refused"]["unknown_key"] == 1, "the stranger's is counted")
    assert "signed" in shown()["trouble"] or "key" in shown()["trouble"]
    assert agent.stop() == 0
