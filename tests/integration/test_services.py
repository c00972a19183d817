"""Promises of board/mainhost/services, kept with servers of its own: own directory, own free ports."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pymongo
import pytest
import requests
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo.write_concern import WriteConcern

TOP = Path(__file__).resolve().parents[2]
SERVICES = TOP / "board" / "mainhost" / "services"
NOT_TO_BE_HAD = 3
ALL_GOOD = 0
UP_DEADLINE_S = 900  # the first `up` of a checkout downloads and builds


def free_ports(count):
    """The first of `count` free ports in a row, below the range that the kernel gives to clients."""
    for base in range(21000, 31000, count):
        sockets = []
        try:
            for port in range(base, base + count):
                listener = socket.socket()
                sockets.append(listener)
                listener.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
        finally:
            for listener in sockets:
                listener.close()
    raise AssertionError("no free ports")


class Services:
    """The program, run with a directory and ports of its own."""

    def __init__(self, directory):
        base = free_ports(8)
        self.directory = directory
        self.kafka_port, self.registry_port, self.mongo_port = base, base + 5, base + 6
        self.dead_port = base + 7
        keep = {name: value for name, value in os.environ.items()
                if not name.startswith("GAVEL_") or name == "GAVEL_CACHE"}
        self.environment = dict(keep, GAVEL_SERVICES_DIR=str(directory),
                                GAVEL_KAFKA_PORT=str(self.kafka_port),
                                GAVEL_REGISTRY_PORT=str(self.registry_port),
                                GAVEL_MONGO_PORT=str(self.mongo_port))

    def run(self, *words, **environment):
        return subprocess.run([sys.executable, str(SERVICES), *words], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=UP_DEADLINE_S, check=False,
                              env=dict(self.environment, **environment))

    def do(self, *words, **environment):
        done = self.run(*words, **environment)
        assert done.returncode == ALL_GOOD, done.stdout + done.stderr
        return done.stdout

    def pid(self, name):
        return json.loads((self.directory / name / "process.json").read_text())["pid"]

    def exports(self):
        """What a shell has after eval "$(services env)"."""
        script = 'eval "$("$0" "$1" env)" && env'
        text = subprocess.run(["sh", "-c", script, sys.executable, str(SERVICES)], env=self.environment,
                              capture_output=True, text=True, check=True).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if line.startswith("GAVEL_"))


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    running = Services(tmp_path_factory.mktemp("services"))
    done = running.run("up", "--secure")
    if done.returncode == NOT_TO_BE_HAD:
        pytest.skip("real servers cannot be had here: " + done.stderr.strip())
    assert done.returncode == ALL_GOOD, done.stdout + done.stderr
    yield running
    running.run("down")


@pytest.fixture
def unused(tmp_path):
    """A set of services of which nothing was started yet."""
    idle = Services(tmp_path / "services")
    yield idle
    idle.run("down")


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(what, condition, deadline_s=30):
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(0.05)


def make_topic(settings, name):
    admin = AdminClient(settings)  # the answer comes only while it lives
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)


def produce(settings, topic, values):
    failures = []
    producer = Producer(dict(settings, acks="all"))
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(20) == 0
    assert failures == []


def consume(settings, topic, count):
    consumer = Consumer(dict(settings, **{"group.id": f"read-{time.monotonic_ns()}",
                                          "auto.offset.reset": "earliest"}))
    consumer.subscribe([topic])
    values = []
    try:
        deadline = time.monotonic() + 30
        while len(values) < count and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message and not message.error():
                values.append(message.value())
    finally:
        consumer.close()
    return values


def test_up_twice_starts_nothing_twice(services):
    before = [services.pid(name) for name in ("kafka", "registry", "mongo")]
    text = services.do("up")
    assert text.count("runs already") == 3
    assert [services.pid(name) for name in ("kafka", "registry", "mongo")] == before


def test_what_env_prints_leads_to_servers_that_answer(services):
    exports = services.exports()
    topics = AdminClient({"bootstrap.servers": exports["GAVEL_KAFKA"]}).list_topics(timeout=10)
    assert len(topics.brokers) == 1
    assert requests.get(exports["GAVEL_REGISTRY_URL"] + "/subjects", timeout=10).status_code == 200
    with pymongo.MongoClient(exports["GAVEL_MONGO_URL"], timeoutMS=10000) as client:
        assert client.admin.command("ping")["ok"] == 1.0
    # Our own address under GAVEL_KAFKA does not make our server somebody else's.
    assert "runs already" in services.do("up", "kafka", GAVEL_KAFKA=exports["GAVEL_KAFKA"])


def test_status_says_what_runs_where(services):
    text = services.do("status")
    for word in ("Apache Kafka", f"127.0.0.1:{services.kafka_port}", str(services.pid("kafka")),
                 "Apicurio", f":{services.registry_port}/", f":{services.mongo_port}/"):
        assert word in text


def test_killed_kafka_keeps_its_data(services):
    settings = {"bootstrap.servers": services.exports()["GAVEL_KAFKA"]}
    make_topic(settings, "kept")
    sent = [b"record %d" % i for i in range(100)]
    produce(settings, "kept", sent)
    killed = services.pid("kafka")
    services.do("kill", "kafka")
    assert not is_running(killed)
    assert services.run("status", "kafka").returncode != ALL_GOOD
    services.do("start", "kafka")
    assert services.pid("kafka") != killed
    assert consume(settings, "kept", len(sent)) == sent


def test_killed_registry_keeps_its_ids(services):
    url = services.exports()["GAVEL_REGISTRY_URL"]
    schema = {"schema": json.dumps({"type": "record", "name": "Kept", "fields": [{"name": "a", "type": "long"}]})}
    given = requests.post(url + "/subjects/kept-value/versions", json=schema, timeout=10)
    assert given.status_code == 200
    services.do("kill", "registry")
    services.do("start", "registry")
    found = requests.get(f"{url}/schemas/ids/{given.json()['id']}", timeout=10)
    assert json.loads(found.json()["schema"]) == json.loads(schema["schema"])
    again = requests.post(url + "/subjects/kept-value/versions", json=schema, timeout=10)
    assert again.json()["id"] == given.json()["id"]


def test_registry_is_as_strict_as_confluents(services):
    url = services.exports()["GAVEL_REGISTRY_URL"]
    assert requests.get(url + "/config", timeout=10).json() == {"compatibilityLevel": "BACKWARD"}

    def record(**field):
        return {"schema": json.dumps({"type": "record", "name": "Strict", "fields": [field]})}
    first = record(name="a", type="long")
    here = requests.post(url + "/subjects/strict-value/versions", json=first, timeout=10).json()["id"]
    there = requests.post(url + "/subjects/strict-key/versions", json=first, timeout=10).json()["id"]
    assert here == there  # one id per schema, whatever the subject
    spaced = {"schema": json.dumps(json.loads(first["schema"]), indent=4)}
    looked_up = requests.post(url + "/subjects/strict-value", json=spaced, timeout=10).json()
    assert (looked_up["id"], looked_up["version"]) == (here, 1)
    new_field = record(name="b", type="long")
    check = requests.post(url + "/compatibility/subjects/strict-value/versions/latest", json=new_field, timeout=10)
    assert check.json()["is_compatible"] is False
    refused = requests.post(url + "/subjects/strict-value/versions", json=new_field, timeout=10)
    assert refused.status_code == 409
    unknown = requests.get(url + "/schemas/ids/999999", timeout=10)
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, 40403)


def test_killed_mongo_keeps_what_it_acknowledged(services):
    with pymongo.MongoClient(services.exports()["GAVEL_MONGO_URL"], timeoutMS=20000) as client:
        acknowledged = WriteConcern("majority", j=True)
        kept = client["services_test"].get_collection("kept", write_concern=acknowledged)
        kept.insert_many([{"_id": f"id{i}"} for i in range(250)], ordered=False)
        with pytest.raises(pymongo.errors.BulkWriteError) as twice:
            kept.insert_many([{"_id": f"id{i}"} for i in range(200, 300)], ordered=False)
        assert twice.value.details["nInserted"] == 50
        assert [e["index"] for e in twice.value.details["writeErrors"]] == list(range(50))
        assert {e["code"] for e in twice.value.details["writeErrors"]} == {11000}
        services.do("kill", "mongo")
        services.do("start", "mongo")
        assert sorted(d["_id"] for d in kept.find({})) == sorted(f"id{i}" for i in range(300))


def test_mongo_answers_rightly_where_ferretdb_was_mended(services):
    with pymongo.MongoClient(services.exports()["GAVEL_MONGO_URL"], timeoutMS=20000) as client:
        mended = client["services_test"]["mended"]
        mended.insert_many([{"_id": f"id{i}", "group": i % 2, "n": 1} for i in range(150)])
        # More updates in one command than the server has database connections.
        bulk = [pymongo.UpdateOne({"_id": f"id{i}"}, {"$inc": {"n": 1}}) for i in range(150)]
        assert mended.bulk_write(bulk, ordered=False).modified_count == 150
        groups = mended.aggregate([
            {"$group": {"_id": "$group", "sum": {"$sum": "$n"}, "count": {"$sum": 1}}},
            {"$sort": {"_id": 1}}])
        assert list(groups) == [{"_id": 0, "sum": 150, "count": 75}, {"_id": 1, "sum": 150, "count": 75}]
        plan = client["services_test"].command("explain", {"find": "mended", "filter": {"_id": "id7"}})
        if "FerretDB" in services.do("status", "mongo"):
            assert "USING INDEX" in str(plan)


def sasl(exports, mechanism, user="gavel", password=None):
    return {"bootstrap.servers": exports["GAVEL_KAFKA_SASL_SSL"], "security.protocol": "SASL_SSL",
            "ssl.ca.location": exports["GAVEL_KAFKA_CA"], "sasl.mechanisms": mechanism,
            "sasl.username": user, "sasl.password": password or exports["GAVEL_KAFKA_PASSWORD"]}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_secure_listeners_take_the_user_over_tls(services, mechanism):
    exports = services.exports()
    topic = "secure-" + mechanism
    make_topic(sasl(exports, mechanism), topic)
    produce(sasl(exports, mechanism), topic, [b"x"])
    with pytest.raises(KafkaException):
        AdminClient(sasl(exports, mechanism, password="wrong")).list_topics(timeout=3)


def test_ssl_listener_shows_a_certificate_of_the_ca(services):
    exports = services.exports()
    settings = {"bootstrap.servers": exports["GAVEL_KAFKA_SSL"], "security.protocol": "SSL"}
    trusted = AdminClient(dict(settings, **{"ssl.ca.location": exports["GAVEL_KAFKA_CA"]}))
    assert trusted.list_topics(timeout=10).brokers
    with pytest.raises(KafkaException):
        AdminClient(settings).list_topics(timeout=3)


def test_stranger_is_known_but_may_not_write(services):
    exports = services.exports()
    make_topic({"bootstrap.servers": exports["GAVEL_KAFKA"]}, "guarded")
    stranger = sasl(exports, "SCRAM-SHA-256", "stranger", exports["GAVEL_KAFKA_STRANGER_PASSWORD"])
    reasons = []
    producer = Producer(dict(stranger, **{"message.timeout.ms": 10000}))
    producer.produce("guarded", b"x", on_delivery=lambda error, _: reasons.append(error))
    producer.flush(20)
    assert [error.name() for error in reasons] == ["TOPIC_AUTHORIZATION_FAILED"]


def test_two_sets_run_side_by_side_and_down_ends_only_its_own(services, unused):
    unused.do("up", "mongo")
    mine, other = services.pid("mongo"), unused.pid("mongo")
    assert mine != other
    unused.do("down")
    assert not is_running(other)
    assert is_running(mine)


def test_down_spares_a_process_that_got_the_recorded_pid(unused):
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        record = {"pid": bystander.pid, "start_ticks": 1, "command": ["mongod"], "title": "", "address": "",
                  "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
        (unused.directory / "mongo").mkdir(parents=True)
        (unused.directory / "mongo" / "process.json").write_text(json.dumps(record))
        assert "was not running" in unused.do("down", "mongo")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_taken_port_is_said_with_its_owner_and_the_way_out(unused):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", unused.mongo_port))
        squatter.listen()
        done = unused.run("up", "mongo")
    if done.returncode == NOT_TO_BE_HAD:
        pytest.skip(done.stderr)
    assert done.returncode == 1
    for word in (str(unused.mongo_port), f"process {os.getpid()}", "GAVEL_MONGO_PORT", "GAVEL_MONGO_URL"):
        assert word in done.stderr


@pytest.mark.parametrize("name, variable, address", [
    ("kafka", "GAVEL_KAFKA", "127.0.0.1:{}"),
    ("registry", "GAVEL_REGISTRY_URL", "http://127.0.0.1:{}"),
    ("mongo", "GAVEL_MONGO_URL", "mongodb://127.0.0.1:{}/"),
])
def test_named_server_that_is_dead_is_reported_not_replaced(unused, name, variable, address):
    dead = address.format(unused.dead_port)
    done = unused.run("up", name, **{variable: dead})
    assert done.returncode == 1
    assert dead in done.stderr and variable in done.stderr
    assert not (unused.directory / name).exists()


def test_named_server_that_answers_is_used(services, unused):
    theirs = services.exports()["GAVEL_KAFKA"]
    assert "yours" in unused.do("up", "kafka", GAVEL_KAFKA=theirs)
    assert not (unused.directory / "kafka").exists()
    unused.do("down", GAVEL_KAFKA=theirs)
    assert is_running(services.pid("kafka"))


def test_server_that_ends_while_starting_is_shown_with_its_log(unused):
    done = unused.run("up", "kafka", GAVEL_KAFKA_HEAP="1k")
    if done.returncode == NOT_TO_BE_HAD:
        pytest.skip(done.stderr)
    assert done.returncode == 1
    assert "heap" in done.stderr and str(unused.directory / "kafka") in done.stderr


def test_machine_without_java_gets_its_own_exit_code_and_nothing_is_started(unused, tmp_path):
    done = unused.run("up", PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == NOT_TO_BE_HAD
    assert "java is missing" in done.stderr and "install" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not unused.directory.joinpath("mongo").exists()


def test_package_registry_out_of_reach_gets_its_own_exit_code_and_no_half_download(unused, tmp_path):
    (tmp_path / "mvn").write_text("#!/bin/sh\necho 'Unknown host'\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    cache = tmp_path / "cache"
    unreachable = {"GAVEL_CACHE": str(cache), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = unused.run("up", "kafka", **unreachable)
    if "java is missing" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == NOT_TO_BE_HAD
    assert "registry" in done.stderr and "Unknown host" in done.stderr
    # Asked again, it tries again: what was not whole is not taken as there.
    again = unused.run("up", "kafka", **unreachable)
    assert again.returncode == NOT_TO_BE_HAD
    assert "Unknown host" in again.stderr


def test_server_that_died_is_started_again(services):
    died = services.pid("mongo")
    os.kill(died, signal.SIGKILL)
    until("the killed server is gone", lambda: not is_running(died))
    services.do("up", "mongo")
    assert services.pid("mongo") != died


def test_bad_port_is_refused_with_the_variables_name(unused):
    done = unused.run("status", GAVEL_KAFKA_PORT="99999999")
    assert done.returncode == 1
    assert "GAVEL_KAFKA_PORT=99999999" in done.stderr


def test_wipe_removes_data_but_not_downloads(unused):
    unused.do("up", "mongo")
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{unused.mongo_port}/", timeoutMS=10000) as client:
        client["services_test"]["gone"].insert_one({"_id": "x"})
    unused.do("wipe", "mongo")
    assert not (unused.directory / "mongo").exists()
    assert "ready after" in unused.do("up", "mongo")
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{unused.mongo_port}/", timeoutMS=10000) as client:
        assert client["services_test"]["gone"].find_one({"_id": "x"}) is None
