"""Promises of the stand-in API (tests/doubles/api): it speaks as the API does, faults do what they say."""
import base64
import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "doubles" / "api"))
from standin_client import StandIn  # noqa: E402

REALM = "/data/wow/connected-realm/604/auctions"
CLASSIC = "/data/wow/connected-realm/4440/auctions/2"
COMMODITIES = "/data/wow/auctions/commodities"


def sample(name):
    return gzip.decompress((TESTS / "data" / "sample" / (name + ".json.gz")).read_bytes())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with StandIn(tmp_path_factory.mktemp("standin")) as running:
        yield running


@pytest.fixture
def api(server):
    server.control(faults=[], hour=0, framing="chunked", gzip=True, conditional=True, rate_per_s=0,
                   expires_in_s=86399, time_shift_s=0, reset_counters=True, release=True)
    return Caller(server)


@pytest.mark.parametrize("options, chosen", [((), "AES256-GCM"), (("--clients-cipher",), "CHACHA20")])
def test_the_client_chooses_the_cipher_only_when_it_may(tmp_path, options, chosen):
    with StandIn(tmp_path, *options) as running:
        tls = ssl.create_default_context(cafile=running.ca)
        tls.maximum_version = ssl.TLSVersion.TLSv1_2  # whose ciphers Python puts in order
        tls.set_ciphers("ECDHE+CHACHA20:ECDHE+AESGCM")
        with socket.create_connection(("127.0.0.1", running.port), 10) as plain, \
                tls.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
            assert chosen in encrypted.cipher()[0]


class Caller:
    """An HTTP client that shows everything: raw header names, raw body, how the connection ended."""

    def __init__(self, server):
        self.server = server
        self.tls = ssl.create_default_context(cafile=server.ca)
        self.bearer = None
        self.control, self.state = server.control, server.state

    def connect(self, timeout=10):
        return http.client.HTTPSConnection("127.0.0.1", self.server.port, context=self.tls,
                                           timeout=timeout)

    def ask_token(self, user=None, path="/token", body="grant_type=client_credentials"):
        user = user or "%s:%s" % (self.server.client_id, self.server.client_secret)
        basic = base64.b64encode(user.encode()).decode()
        connection = self.connect()
        connection.request("POST", path, body, {
            "authorization": "Basic " + basic, "content-type": "application/x-www-form-urlencoded"})
        reply = connection.getresponse()
        return reply.status, reply.read()

    def token(self):
        if self.bearer is None:
            self.bearer = json.loads(self.ask_token()[1])["access_token"]
        return self.bearer

    def start(self, path, namespace="dynamic-eu", timeout=10, connection=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if "authorization" not in headers:
            headers["authorization"] = "Bearer " + self.token()
        connection = connection or self.connect(timeout)
        query = "?namespace=" + namespace if namespace else ""
        connection.request("GET", path + query, headers=headers)
        return connection.getresponse()

    def get(self, path, *args, **headers):
        reply = self.start(path, *args, **headers)
        return reply.status, dict(reply.getheaders()), reply.read()

    def json(self, path, *args, **headers):
        return json.loads(self.get(path, *args, **headers)[2])


@pytest.mark.parametrize("path, namespace, name", [
    (REALM, "dynamic-eu", "eu-604-20140701T003001Z"),
    (CLASSIC, "dynamic-classic-eu", "eu-4440-2-20140701T003001Z"),
    (CLASSIC, "dynamic-classic1x-eu", "eu-4440-2-20140701T003001Z"),
    (CLASSIC, "dynamic-classicann-eu", "eu-4440-2-20140701T003001Z"),
    (COMMODITIES, "dynamic-eu", "eu-commodities-20140701T003001Z")])
def test_each_snapshot_is_served_byte_for_byte(api, path, namespace, name):
    status, _, body = api.get(path, namespace)
    assert (status, body) == (200, sample(name))
    assert api.get("/eu" + path, namespace)[2] == body
    packed = api.get(path, namespace, accept_encoding="deflate, gzip")
    assert packed[1]["content-encoding"] == "gzip" and zlib.decompress(packed[2], 31) == body


def test_the_index_lists_the_realms_of_the_namespace(api):
    def ids(namespace):
        reply = api.json("/data/wow/connected-realm/index", namespace)
        return [int(re.search(r"/connected-realm/(\d+)\?namespace=" + namespace, r["href"])[1])
                for r in reply["connected_realms"]]
    assert ids("dynamic-eu") == [604]
    assert ids("dynamic-classic-eu") == [4440]
    assert ids("dynamic-us") == []


def test_the_houses_of_a_classic_realm_and_the_token_price_are_served(api):
    houses = api.json("/data/wow/connected-realm/4440/auctions/index", "dynamic-classic-eu")
    assert [h["id"] for h in houses["auctions"]] == [2]
    assert api.json("/data/wow/token/index")["price"] > 2**31


@pytest.mark.parametrize("path, namespace", [
    ("/data/wow/connected-realm/605/auctions", "dynamic-eu"), (REALM, "dynamic-us"),
    (REALM, "dynamic-classic-eu"), (REALM, "static-eu"), (REALM, None), (CLASSIC, "dynamic-eu"),
    (COMMODITIES, "dynamic-classic-eu"), ("/us" + REALM, "dynamic-eu"),
    ("/data/wow/x", "dynamic-eu")])
def test_what_does_not_exist_is_404_with_the_api_body(api, path, namespace):
    status, _, body = api.get(path, namespace)
    assert status == 404
    assert body == b'{"code":404,"type":"BLZWEBAPI00000404","detail":"Not Found"}'


def test_header_names_are_lower_case_and_name_the_snapshot(api):
    headers = api.get(REALM)[1]
    assert all(name == name.lower() for name in headers)
    assert headers["last-modified"] == "Tue, 01 Jul 2014 00:30:01 GMT"
    assert {"etag", "date", "cache-control", "content-type"} <= set(headers)


@pytest.mark.parametrize("path", ["/token", "/eu/token", "/oauth/token"])
def test_the_right_credentials_get_a_token(api, path):
    status, body = api.ask_token(path=path)
    token = json.loads(body)
    assert (status, token["token_type"], token["expires_in"]) == (200, "bearer", 86399)
    assert api.get(REALM, authorization="Bearer " + token["access_token"])[0] == 200


def test_wrong_credentials_or_grant_get_none(api):
    assert api.ask_token(user="standin-id:wrong")[0] == 401
    assert api.ask_token(body="grant_type=password")[0] == 400
    assert api.state()["tokens_issued"] == 0


@pytest.mark.parametrize("header", ["", "Bearer nobody", "Basic eDp5"])
def test_without_a_valid_token_data_is_401(api, header):
    status, _, body = api.get(REALM, authorization=header)
    assert (status, json.loads(body)["code"]) == (401, 401)
    path = REALM + "?namespace=dynamic-eu&access_token=" + api.token()
    assert api.get(path, None, authorization=header)[0] == 401


def test_tokens_end_by_time_and_by_revocation(api):
    api.control(expires_in_s=0)
    status, body = api.ask_token()
    assert json.loads(body)["expires_in"] == 0
    assert api.get(REALM, authorization="Bearer " + json.loads(body)["access_token"])[0] == 401
    api.control(expires_in_s=100)
    assert api.get(REALM)[0] == 200
    api.control(revoke_tokens=True)
    assert api.get(REALM)[0] == 401


def test_an_unchanged_snapshot_is_304_and_the_next_hour_is_not(api):
    headers = api.get(REALM)[1]
    by_time = {"if_modified_since": headers["last-modified"]}
    by_tag = {"if_none_match": headers["etag"]}
    for condition in (by_time, by_tag):
        status, again, body = api.get(REALM, **condition)
        assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    # a tag that differs wins over the time
    assert api.get(REALM, if_none_match='"x"', **by_time)[0] == 200
    assert api.state()["not_modified"] == 2
    api.control(hour="next")
    for condition in (by_time, by_tag):
        status, later, body = api.get(REALM, **condition)
        assert (status, later["last-modified"]) == (200, "Tue, 01 Jul 2014 01:30:01 GMT")
        assert body == sample("eu-604-20140701T013001Z")


def test_one_series_can_be_late_and_the_last_hour_stays(api):
    api.control(hour=1)
    api.control(hour=0, series="eu-604")
    assert api.get(REALM)[1]["last-modified"].endswith("00:30:01 GMT")
    assert api.get(COMMODITIES)[1]["last-modified"].endswith("01:30:01 GMT")
    api.control(hour=99)
    assert api.get(REALM)[1]["last-modified"].endswith("02:30:01 GMT")


def test_time_shift_moves_last_modified(api):
    api.control(time_shift_s=86400)
    assert api.get(REALM)[1]["last-modified"] == "Wed, 02 Jul 2014 00:30:01 GMT"


def test_bodies_come_chunked_or_with_a_length(api):
    assert api.get(REALM)[1]["transfer-encoding"] == "chunked"
    api.control(framing="length")
    for encoding in ("gzip", "identity"):
        _, headers, body = api.get(REALM, accept_encoding=encoding)
        assert int(headers["content-length"]) == len(body)
        assert "transfer-encoding" not in headers


def test_a_connection_is_kept_for_further_requests(api):
    connection = api.connect()
    for _ in range(3):
        reply = api.start(REALM, connection=connection)
        assert reply.status == 200 and reply.read()
    ports = {r["connection"] for r in api.state()["requests"] if r["path"] == REALM}
    assert len(ports) == 1


def test_counters_tell_what_happened(api):
    body = api.get(REALM)[2]
    api.get("/data/wow/connected-realm/9/auctions")
    state = api.server.wait_until(lambda s: s["transfers"] == 0)
    assert [r["status"] for r in state["requests"]] == [200, 200, 404]
    assert state["by_path"][REALM] == {"200": 1}
    assert state["by_path"]["/data/wow/connected-realm/9/auctions"] == {"404": 1}
    assert state["tokens_issued"] == 1 and state["bytes"] > len(body)
    times = [r["t"] for r in state["requests"]]
    assert times == sorted(times)


def test_simultaneous_transfers_are_counted(api):
    api.control(fault={"kind": "stall", "after": 100})
    replies = [threading.Thread(target=api.get, args=(REALM,)) for _ in range(3)]
    api.token()
    for thread in replies:
        thread.start()
    api.server.wait_until(lambda s: s["hanging"] == 3)
    api.control(faults=[], release=True)
    for thread in replies:
        thread.join(10)
    state = api.server.wait_until(lambda s: s["transfers"] == 0)
    assert state["max_transfers"] == 3 and state["counts"]["status_200"] == 4


def test_over_the_rate_limit_requests_are_429(api):
    api.control(rate_per_s=5)
    connection = api.connect()
    statuses = []
    for _ in range(8):
        reply = api.start("/data/wow/token/index", connection=connection)
        reply.read()
        statuses.append(reply.status)
    assert statuses[:5] == [200] * 5 and 429 in statuses[5:]


# faults

@pytest.mark.parametrize("status", [401, 404, 429, 500, 502, 503, 504])
def test_a_status_strikes_as_often_as_asked_and_then_ends(api, status):
    api.control(fault={"kind": status, "match": REALM, "times": 2, "retry_after": 7})
    assert api.get(COMMODITIES)[0] == 200
    for _ in range(2):
        got, headers, body = api.get(REALM)
        assert (got, json.loads(body)["code"], headers["retry-after"]) == (status, status, "7")
    assert api.get(REALM)[0] == 200
    assert api.state()["faults"][0]["hits"] == 2


def test_a_fault_can_skip_and_be_limited_to_a_region_and_a_path(api):
    api.control(faults=[{"kind": 500, "region": "us"},
                        {"kind": 502, "match": "/data/wow/connected", "exact": True},
                        {"kind": 503, "match": REALM, "skip": 1}])
    assert [api.get(REALM)[0] for _ in range(3)] == [200, 503, 503]


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("after", [None, 0, 1000])
def test_cut_ends_the_body_early(api, framing, encoding, after):
    api.control(framing=framing, fault={"kind": "cut", "after": after})
    reply = api.start(REALM, accept_encoding=encoding)
    with pytest.raises((http.client.IncompleteRead, OSError)) as caught:
        reply.read()
    if after and isinstance(caught.value, http.client.IncompleteRead):
        assert len(caught.value.partial) <= after
    last = api.server.wait_until(lambda s: s["transfers"] == 0)["requests"][-1]
    assert last["complete"] is False
    if after is not None:
        assert last["bytes"] == after


def test_cut_can_take_the_last_chunk_alone(api):
    size = len(sample("eu-604-20140701T003001Z"))
    api.control(fault={"kind": "cut", "after": size})
    with pytest.raises(http.client.IncompleteRead) as caught:
        api.get(REALM)
    assert len(caught.value.partial) == size


def test_cut_before_the_status_line_gives_no_reply(api):
    api.control(fault={"kind": "cut", "after": -1})
    with pytest.raises((http.client.RemoteDisconnected, OSError)):
        api.get(REALM)


def test_reset_is_a_tcp_reset(api):
    """Python's TLS sockets report a reset as an end; so the TLS runs beside a plain socket here."""
    request = "GET %s?namespace=dynamic-eu HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n"
    request = (request % (REALM, api.token())).encode()
    api.control(fault={"kind": "reset", "after": 1000})
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = api.tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    written = False
    with socket.create_connection(("127.0.0.1", api.server.port), timeout=10) as wire:
        with pytest.raises(ConnectionResetError):
            while True:
                try:
                    tls.do_handshake()
                    written = written or bool(tls.write(request))
                    tls.read(1 << 16)
                except ssl.SSLWantReadError:
                    pass
                wire.sendall(outgoing.read())
                received = wire.recv(1 << 16)
                assert received, "an orderly end, no reset"
                incoming.write(received)
    assert written


def test_a_stall_hangs_until_released(api):
    expected = api.get(REALM)[2]
    api.control(fault={"kind": "stall", "after": 5000, "times": 1})
    reply = api.start(REALM)
    first = reply.read(5000)
    api.server.wait_until(lambda s: s["hanging"] == 1)
    reply.fp.raw._sock.settimeout(0.2)
    with pytest.raises(socket.timeout):
        reply.fp.raw._sock.recv(1)
    reply.fp.raw._sock.settimeout(10)
    api.control(release=True)
    api.server.wait_until(lambda s: s["transfers"] == 0)
    assert expected.startswith(first)
    assert api.state()["requests"][-1]["bytes"] == len(expected)


def test_a_stall_ends_when_the_client_goes(api):
    api.control(fault={"kind": "stall", "after": 10})
    connection = api.connect()
    reply = api.start(REALM, connection=connection)
    api.server.wait_until(lambda s: s["hanging"] == 1)
    connection.close()
    reply.close()
    state = api.server.wait_until(lambda s: s["hanging"] == 0 and s["transfers"] == 0)
    assert state["requests"][-1]["complete"] is False


def test_slow_keeps_to_its_rate(api):
    size = len(api.get(REALM, accept_encoding="gzip")[2])
    api.control(fault={"kind": "slow", "bytes_per_second": size * 2})
    start = time.monotonic()
    assert len(api.get(REALM, accept_encoding="gzip")[2]) == size
    assert time.monotonic() - start > 0.4


def test_empty_is_200_without_a_body_and_not_json_is_a_page(api):
    api.control(fault={"kind": "empty", "times": 1})
    assert api.get(REALM)[::2] == (200, b"")
    api.control(fault={"kind": "not-json"})
    status, headers, body = api.get(REALM)
    assert (status, headers["content-type"]) == (200, "text/html") and body.startswith(b"<!DOCTYPE")


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("kind", ["wrong-realm", "late-connected-realm", "no-auctions", "malformed",
                                  "truncated", "trailing", "invalid-utf8"])
def test_content_faults_change_what_they_say_and_nothing_else(api, kind, framing, encoding):
    good = json.loads(sample("eu-604-20140701T003001Z"))
    api.control(framing=framing, fault={"kind": kind})
    status, _, body = api.get(REALM, accept_encoding=encoding)
    assert status == 200
    body = zlib.decompress(body, 31) if encoding == "gzip" else body
    if kind in ("malformed", "truncated", "trailing"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
        whole = len(sample("eu-604-20140701T003001Z"))
        assert kind != "malformed" or len(body) == whole
        assert kind != "truncated" or len(body) == whole // 2
        return
    if kind == "invalid-utf8":
        with pytest.raises(UnicodeDecodeError):
            body.decode()
        spoilt = json.loads(body.decode("utf-8", "replace"))
        owners = [a.pop("owner") for a in spoilt["auctions"] if "owner" in a]
        assert owners == ["Gr\ufffd\ufffde"] * 3 and spoilt == good
        return
    spoilt = json.loads(body)
    if kind == "wrong-realm":
        assert "/connected-realm/605?" in spoilt["connected_realm"]["href"]
        assert spoilt["auctions"] == good["auctions"]
    elif kind == "no-auctions":
        assert "auctions" not in spoilt and spoilt["connected_realm"] == good["connected_realm"]
    else:
        assert spoilt == good and list(spoilt)[-1] == "connected_realm"


def test_malformed_breaks_json_where_asked(api):
    good = sample("eu-604-20140701T003001Z")
    api.control(fault={"kind": "malformed", "at": 100_000})
    body = api.get(REALM)[2]
    assert len(body) == len(good) and body != good and body[:100_000] == good[:100_000]
    api.control(faults=[{"kind": "truncated", "at": 1234}])
    assert api.get(REALM)[2] == good[:1234]


def test_late_connected_realm_can_be_wrong_too(api):
    api.control(fault={"kind": "late-connected-realm", "realm": 1305})
    assert "/connected-realm/1305?" in api.json(REALM)["connected_realm"]["href"]


def test_bad_gzip_does_not_decompress(api):
    api.control(fault={"kind": "bad-gzip"})
    body = api.get(REALM, accept_encoding="gzip")[2]
    with pytest.raises(zlib.error):
        zlib.decompress(body, 31)


@pytest.mark.parametrize("fill", ["records", "spaces"])
def test_huge_does_not_end(api, fill):
    api.control(fault={"kind": "huge", "fill": fill})
    connection = api.connect()
    reply = api.start(REALM, connection=connection)
    size = 0
    while size < 20_000_000:
        piece = reply.read(1 << 20)
        assert piece
        size += len(piece)
    connection.close()
    reply.close()
    api.server.wait_until(lambda s: s["transfers"] == 0)


@pytest.mark.parametrize("fault, status", [
    (401, 401), (500, 500), ("malformed", 200), ("empty", 200)])
def test_token_faults_strike_the_token_alone(api, fault, status):
    api.token()
    api.control(fault={"kind": fault, "match": "/token", "times": 1})
    got, body = api.ask_token()
    assert got == status
    if status == 200:
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
    assert api.get(REALM)[0] == 200
    assert api.ask_token()[0] == 200


def test_an_expired_token_is_refused_at_once(api):
    api.control(fault={"kind": "expired", "times": 1})
    token = json.loads(api.ask_token()[1])
    assert token["expires_in"] == 0
    assert api.get(REALM, authorization="Bearer " + token["access_token"])[0] == 401


@pytest.mark.parametrize("wanted", [
    {"fault": {"kind": "sloow"}}, {"fault": {"kind": "cut", "afer": 1}}, {"hour": -1}, {"color": 1},
    {"hour": 1, "series": "eu-9"}, {"fault": {"kind": "status"}}, {"framing": "none"}])
def test_the_control_port_refuses_what_it_does_not_know(api, wanted):
    with pytest.raises(ValueError):
        api.control(**wanted)


def test_a_client_without_the_ca_does_not_connect(api):
    connection = http.client.HTTPSConnection("127.0.0.1", api.server.port, timeout=10,
                                             context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/")


def test_a_measured_body_is_generated_for_each_hour_and_kept(tmp_path):
    with StandIn(tmp_path, "--generate", "us-77:300k", "--generate", "us-77-6:100k",
                 "--generate", "us-commodities:200k") as server:
        caller = Caller(server)
        first = caller.get("/us/data/wow/connected-realm/77/auctions", "dynamic-us")[2]
        assert 300_000 <= len(first) < 301_000
        caller.control(hour=5)
        later = caller.json("/us/data/wow/connected-realm/77/auctions", "dynamic-us")
        before, after = ({a["id"] for a in body["auctions"]} for body in (json.loads(first), later))
        assert 0.6 < len(before & after) / len(after) < 0.95
        house = caller.json("/data/wow/connected-realm/77/auctions/6", "dynamic-classic1x-us")
        assert house["name"] == "Horde Auction House"
        assert len(list((tmp_path / "generated").iterdir())) == 6


def test_sigterm_ends_it_cleanly_in_the_middle_of_a_stall_and_a_restart_keeps_the_ca(tmp_path):
    server = StandIn(tmp_path).start()
    caller = Caller(server)
    assert json.loads((tmp_path / "standin.json").read_text()) == server.about
    ca = Path(server.ca).read_bytes()
    caller.control(fault={"kind": "stall", "after": 10})
    reply = caller.start(REALM)
    server.wait_until(lambda s: s["hanging"] == 1)
    assert server.stop() == 0
    assert not (tmp_path / "standin.json").exists()
    with pytest.raises((http.client.IncompleteRead, OSError)):
        reply.read()
    with StandIn(tmp_path, "--port", server.port) as again:
        assert again.port == server.port and Path(again.ca).read_bytes() == ca


def test_a_directory_without_snapshots_is_refused_with_a_reason(tmp_path):
    done = subprocess.run([sys.executable, TESTS / "doubles" / "api" / "standin.py", "--run-dir",
                           tmp_path, "--data", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "holds no files named like" in done.stderr
