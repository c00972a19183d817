"""The status page of a running agent: served beside its work, and never in the way of it."""
import json
import re
import socket
import sys
import urllib.error
import urllib.request

import witness
from gavel_env import TOP, until
from test_lifecycle import snapshot_of

sys.path.append(str(TOP / "tests" / "page"))
from page_server import policy  # noqa: E402  (worked out from the page on its own)

STALLED = 300


def ask(port, path, host=None):
    """(status, headers, text)"""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as reply:
        return reply.code, reply.headers, reply.read().decode()


def port_of(agent, since=0):
    return int(agent.wait_log(r'msg="status page" listen=\S+ port=(\d+)', since)[1])


def test_a_running_agent_is_seen_by_browser_prometheus_and_probe(world):
    world.serve("--generate", "eu-604:20k")
    agent = world.agent()
    agent.wait_log("snapshot forwarded")
    port = port_of(agent)
    status, headers, page = ask(port, "/")
    assert status == 200 and page == (TOP / "agent/status/page.html").read_text()
    assert headers["Content-Security-Policy"] == policy(page)
    status = json.loads(ask(port, "/status.json")[2])
    assert status["device"] == "e2e" and status["broker"]["records_acked"] > 0
    metrics = ask(port, "/metrics")[2]
    acked = int(re.search(r"^gavel_records_acknowledged_total (\d+)$", metrics, re.M)[1])
    assert acked == status["broker"]["records_acked"]
    assert ask(port, "/healthz")[::2] == (200, "ok\n")
    shown = ask(port, "/config.json")[2]
    assert json.loads(shown)["sources"][0]["realms"] == [604]
    assert "e2e" not in shown and "client_secret" not in shown  # whose it is, and what is secret, stays there
    for path in ("/healthz", "/config.json"):
        assert ask(port, path, host="evil.example")[0] == 403
    assert agent.stop() == 0


def test_hundreds_of_stalled_clients_neither_stop_the_work_nor_hide_the_page(world):
    world.serve("--generate", "eu-604:100k")
    agent = world.agent()
    port = port_of(agent)
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(STALLED)]
    for each in crowd[::2]:
        each.sendall(b"GET /status.json HT")
    assert ask(port, "/healthz")[::2] == (200, "ok\n")
    agent.wait_log("snapshot forwarded")
    assert json.loads(ask(port, "/status.json")[2])["broker"]["records_acked"] > 0
    assert agent.stop() == 0
    for each in crowd:
        each.close()
    snapshots = [snapshot_of(world)]
    witness.check_ledger(world, snapshots, witness.check_raw_topic(world, snapshots))


def test_a_port_that_is_taken_is_told_and_the_work_goes_on(world):
    world.serve("--generate", "eu-604:20k")
    with socket.create_server(("127.0.0.1", 0)) as other:
        world.configure(status={"listen": "127.0.0.1:%d" % other.getsockname()[1]})
        agent = world.agent()
        agent.wait_log("no status page; all else goes on.*another program has this port")
        agent.wait_log("snapshot forwarded")
        assert agent.stop() == 0


def test_a_reload_keeps_the_port_and_counts_on(world):
    world.serve("--generate", "eu-604:20k")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    world.configure(status={"listen": "127.0.0.1:%d" % port})
    agent = world.agent()
    agent.wait_log("snapshot forwarded")
    with socket.create_connection(("127.0.0.1", port)):  # one that stays is no hindrance
        acked = json.loads(ask(port, "/status.json")[2])["broker"]["records_acked"]
        mark = agent.mark()
        world.configure(log={"level": "debug"})
        agent.signal(1)
        assert port_of(agent, mark) == port
        until(lambda: json.loads(ask(port, "/status.json")[2])["broker"]["records_acked"] >= acked > 0, "the counts are there")
    mark = agent.mark()
    world.configure(status={"enabled": False})
    agent.signal(1)
    agent.wait_log("msg=started", mark)
    until(lambda: not can_connect(port), "nobody listens any more")
    assert agent.stop() == 0


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except ConnectionRefusedError:
        return False
