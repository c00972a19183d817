"""`gavel config keygen | sign | verify | publish | diff`: the owner's desk for updates over the air.

The witness is python's cryptography: it checks what gavel has signed, and signs what gavel must take;
both follow agent/ota/BUNDLE.md, whose layout is written down here anew.
"""
import base64
import hashlib
import http.server
import json
import os
import re
import stat
import subprocess
import threading

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from gavel_env import GAVEL, SANITIZER, until

MAGIC = b"gavel-config 1\n"
HEAD = re.compile(rb"\Agavel-config 1\nkey ([0-9a-f]{16})\nsignature ([0-9a-f]{128})\n"
                  rb"manifest (\d{5})\nconfig (\d{5})\n")
UPDATE = '{ // quieter\n "log": { "level": "warn" }, "sources": [{ "region": "eu", "realms": [604] }] }\n'
ECDSA = ec.ECDSA(hashes.SHA256())


def config(*words, expect=0, env=None):
    """(what it printed, what it complained of)"""
    done = subprocess.run([GAVEL, "config", *map(str, words)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **SANITIZER, **(env or {})})
    assert done.returncode == expect, "%s: %d\n%s\n%s" % (words, done.returncode, done.stdout, done.stderr)
    assert "PRIVATE" not in done.stdout + done.stderr
    return done.stdout, done.stderr


class Desk:
    """A folder with a key, an update's text, and what is published."""

    def __init__(self, path):
        self.path, self.key = path, path / "owner.key"
        self.out, _ = config("keygen", "--out", self.key)
        self.public = re.search(r"^public key +(\S+)$", self.out, re.M).group(1)
        self.id = re.search(r"^key id +(\S+)$", self.out, re.M).group(1)
        self.update, self.folder = path / "update.json", path / "published"
        self.update.write_text(UPDATE)

    def sign(self, *words, name="a.gavel", expect=0, update=None):
        made = self.path / name
        out, err = config("sign", "--key", self.key, "--config", update or self.update, "--out", made,
                          *words, expect=expect)
        return made if expect == 0 else err

    def board(self, **options):
        own = self.path / "own.json"
        own.write_text(json.dumps({
            "device_id": "attic", "state_dir": "/data", "log": {"format": "json"},
            "api": {"client_id": "env:ID", "client_secret": "file:/nowhere/secret"},
            "ota": {"keys": [self.public], "groups": ["pi-3"]},
            "sources": [{"region": "eu", "realms": [1305]}], **options}))
        return own


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def take_apart(data):
    """(key id, signature, manifest, configuration)"""
    head = HEAD.match(data)
    assert head, data[:300]
    rest = data[head.end():]
    manifest, size = int(head.group(3)), int(head.group(4))
    assert len(rest) == manifest + size
    return head.group(1).decode(), bytes.fromhex(head.group(2).decode()), rest[:manifest], rest[manifest:]


def put_together(private, text, manifest):
    """A bundle by the rules of the page, made without gavel."""
    spki = private.public_key().public_bytes(serialization.Encoding.DER,
                                             serialization.PublicFormat.SubjectPublicKeyInfo)
    whole = json.dumps({"config_bytes": len(text), "config_sha256": hashlib.sha256(text).hexdigest(),
                        "signed_at": "2026-11-27T01:00:00Z", **manifest}, indent=2).encode()
    r, s = decode_dss_signature(private.sign(MAGIC + whole, ECDSA))
    return b"%skey %s\nsignature %064x%064x\nmanifest %05d\nconfig %05d\n%s%s" % (
        MAGIC, hashlib.sha256(spki).hexdigest()[:16].encode(), r, s, len(whole), len(text), whole, text)


# --- the witness

def test_what_gavel_signs_holds_for_another_implementation(desk):
    data = desk.sign("--version", 9, "--device", "attic", "--group", "pi-3", "--agent-min", "0.1",
                     "--note", 'quieter, "for now" \u2013 Anna').read_bytes()
    key_id, signature, manifest, text = take_apart(data)
    der = base64.b64decode(desk.public, validate=True)
    assert key_id == desk.id == hashlib.sha256(der).hexdigest()[:16]
    public = serialization.load_der_public_key(der)
    assert isinstance(public.curve, ec.SECP256R1)
    encoded = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    public.verify(encoded, MAGIC + manifest, ECDSA)
    with pytest.raises(InvalidSignature):
        public.verify(encoded, manifest, ECDSA)  # without the line that says what is signed
    said = json.loads(manifest)
    assert said.pop("signed_at").endswith("Z")
    assert said == {"version": 9, "config_bytes": len(UPDATE), "agent_min": "0.1",
                    "config_sha256": hashlib.sha256(UPDATE.encode()).hexdigest(),
                    "note": 'quieter, "for now" \u2013 Anna',
                    "targets": {"devices": ["attic"], "groups": ["pi-3"]}}
    assert text == UPDATE.encode()  # as it was, comments and all
    private = serialization.load_pem_private_key(desk.key.read_bytes(), None)
    assert private.public_key() == public


def test_what_another_implementation_signs_is_taken(desk, tmp_path):
    private = ec.generate_private_key(ec.SECP256R1())
    public = base64.b64encode(private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()
    made = tmp_path / "other.gavel"
    for i in range(8):  # signatures differ: some have numbers that start with zeros
        made.write_bytes(put_together(private, UPDATE.encode(), {"version": 2**53 - 1 - i, "all": True}))
        out, _ = config("verify", made, "--keys", desk.public, "--keys", public)
        assert "verdict    good\n" in out and str(2**53 - 1 - i) in out and "all boards" in out
    out, _ = config("verify", made, "--keys", desk.public, expect=1)
    assert "verdict    unknown_key: signed with key" in out
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        pem = tmp_path / "other.pem"
        pem.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        out, _ = config("keygen", "--show", pem)
        assert public in out


# --- keygen

def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(desk, tmp_path):
    assert stat.S_IMODE(desk.key.stat().st_mode) == 0o600
    before = desk.key.read_bytes()
    _, err = config("keygen", "--out", desk.key, expect=2)
    assert "there already" in err and desk.key.read_bytes() == before
    out, _ = config("keygen", "--out", tmp_path)
    assert (tmp_path / "gavel-owner.key").exists() and desk.public not in out
    out, _ = config("keygen", "--show", desk.key)
    assert '"ota": { "keys": ["%s"] }' % desk.public in out
    _, err = config("keygen", expect=2)
    assert "--out DIR|FILE" in err
    _, err = config("keygen", "--out", tmp_path / "no" / "such" / "folder", expect=2)
    assert "no/such" in err


def test_what_is_no_key_is_named(desk, tmp_path):
    other = tmp_path / "other.pem"
    cases = [(b"", "no private key"), (b"x" * 5000, "larger than any private key")]
    p384, plain = ec.generate_private_key(ec.SECP384R1()), serialization.NoEncryption()
    secret = serialization.BestAvailableEncryption(b"word")
    mine = serialization.load_pem_private_key(desk.key.read_bytes(), None)
    for key, protection, words in [(p384, plain, "P-256"), (mine, secret, "password")]:
        cases.append((key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        protection), words))
    for data, words in cases:
        other.write_bytes(data)
        _, err = config("sign", "--key", other, "--config", desk.update, "--version", 1, "--all", "--out",
                        tmp_path / "never", expect=2)
        assert words in err and str(other) in err
    assert not (tmp_path / "never").exists()
    _, err = config("verify", desk.sign("--version", 1, "--all"), "--keys", "MFkw", expect=2)
    assert "is no public key" in err


# --- sign

@pytest.mark.parametrize("text, words", [
    ('{"kafka": {"password": "file:/x"}, "sources": []}', "kafka.password: it belongs to the board"),
    ('{"kafka": {"properties": {"client.id": "env:X"}}}', "never travel"),
    ('{"state_dir": "/tmp"}', "state_dir: it belongs to the board"),
    ('{"ota": {"keys": []}}', "ota.keys: it belongs to the board"),
    ('{"log": {"lvl": "info"}, "sources": [{"region": "eu", "realms": [1]}]}', "did you mean log.level?"),
    ('{"log": {"level": "loud"}}', "log.level: expected"),
    ('{"log": {}}', "sources: at least one must be given"),
    ('{"log": {},}', "line 1, column 11"),
    ("[]", "no object"),
    ('{"log": {}, "sources": [{"region": "eu", "realms": [1]}], "log": {}}', "given twice"),
])
def test_what_a_board_would_refuse_is_not_signed(desk, text, words):
    desk.update.write_text(text)
    err = desk.sign("--version", 1, "--all", expect=1)
    assert words in err and "not signed" in err
    assert not (desk.path / "a.gavel").exists()


def test_an_update_says_for_whom_it_is_and_which_version(desk):
    for words, said in [(("--version", 1), "for whom"), (("--version", 1, "--all", "--device", "x"), "for whom"),
                        (("--all",), "--version N"), (("--all", "--version", "1x"), "whole number"),
                        (("--all", "--version", 0), "whole number"), (("--all", "--version", 2**53), "whole number"),
                        (("--version", 1, "--device", "../x"), "letters"),
                        (("--version", 1, "--all", "--agent-min", "new"), "0.2.0"),
                        (("--version", 1, "--all", "--note", "n" * 200), "199 bytes"),
                        (("--version", 1, "--all", "more"), "'more' is not understood")]:
        assert said in desk.sign(*words, expect=2)
    desk.update.write_text(UPDATE + " " * (65536 - len(UPDATE)))
    desk.sign("--version", 1, "--all")
    desk.update.write_text(UPDATE + " " * (65537 - len(UPDATE)))
    assert "65536 at most" in desk.sign("--version", 1, "--all", expect=2)


# --- verify

def test_verify_tells_what_a_board_with_these_keys_would_say(desk):
    made = desk.sign("--version", 3, "--device", "cellar", "--note", "for the cellar")
    out, _ = config("verify", made, "--keys", desk.public)
    assert "version    3\n" in out and "device cellar" in out and "for the cellar" in out and desk.id in out
    out, _ = config("verify", made, expect=1)
    assert "nobody's signature was checked" in out
    out, _ = config("verify", made, "--config", desk.board(), expect=1)
    assert "not_for_us: version 3 is for other devices and groups than attic" in out
    good = desk.sign("--version", 3, "--group", "pi-3")
    config("verify", good, "--config", desk.board())
    data = bytearray(good.read_bytes())
    for at, verdict in [(0, "broken"), (25, "unknown_key"), (100, "bad_signature"), (-1, "bad_hash")]:
        hurt = bytearray(data)
        hurt[at] = ord("1" if hurt[at] == ord("0") else "0")  # still a hexadecimal digit, where it was one
        good.write_bytes(hurt)
        out, _ = config("verify", good, "--keys", desk.public, expect=1)
        assert "verdict    %s: " % verdict in out, out
    good.write_bytes(data + b" " * 80000)
    _, err = config("verify", good, "--keys", desk.public, expect=2)
    assert "larger than any update" in err
    newer = desk.sign("--version", 4, "--all", "--agent-min", "99")
    out, _ = config("verify", newer, "--keys", desk.public, expect=1)
    assert "needs_agent: version 4 needs gavel 99 or newer" in out


def test_verify_sees_what_only_this_board_would_refuse(desk):
    desk.update.write_text('{"kafka": {"properties": {"client.id": "mine"}}, "sources": [{"region": "eu", "realms": [1]}]}')
    made = desk.sign("--version", 1, "--all")
    config("verify", made, "--keys", desk.public)
    own = desk.board(kafka={"properties": {"client.id": "env:NAME"}})
    out, err = config("verify", made, "--config", own, expect=1)
    assert "bad_config" in out and "client.id" in err


# --- publish

def test_versions_are_counted_up_over_all_that_is_published(desk):
    for version, words in enumerate([("--device", "attic"), ("--group", "pi-3"), ("--all",)], start=1):
        made = desk.sign("--to", desk.folder, *words)
        out, _ = config("publish", "--to", desk.folder, made)
        assert ": version %d\n" % version in out
    published = {str(p.relative_to(desk.folder)) for p in desk.folder.rglob("*") if p.is_file()}
    assert published == {"devices/attic.gavel", "groups/pi-3.gavel", "all.gavel", "index.json"}
    index = json.loads((desk.folder / "index.json").read_text())["published"]
    assert [(e["file"], e["version"]) for e in index] == [
        ("all.gavel", 3), ("devices/attic.gavel", 1), ("groups/pi-3.gavel", 2)]
    for path in desk.folder.rglob("*"):  # for a web server that runs as somebody else
        assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044


def test_a_version_that_is_not_above_the_published_one_is_refused_and_nothing_changes(desk):
    config("publish", "--to", desk.folder, desk.sign("--version", 5, "--device", "attic", "--device", "loft"))
    before = {p: p.read_bytes() for p in desk.folder.rglob("*") if p.is_file()}
    fine = desk.sign("--version", 6, "--group", "pi-3", name="fine.gavel")
    same = desk.sign("--version", 5, "--device", "loft", "--note", "other", name="same.gavel")
    _, err = config("publish", "--to", desk.folder, fine, same, expect=2)
    assert "devices/loft.gavel has version 5 already" in err and "--version 6" in err
    assert {p: p.read_bytes() for p in desk.folder.rglob("*") if p.is_file()} == before
    config("publish", "--to", desk.folder, desk.path / "a.gavel")  # the very same is no harm
    _, err = config("publish", "--to", desk.folder, desk.sign("--version", 1, "--all", name="low.gavel"))
    assert "warning: version 5 is published" in err


def test_what_is_no_bundle_is_neither_published_nor_replaced(desk):
    _, err = config("publish", "--to", desk.folder, desk.update, expect=2)
    assert "no bundle" in err and str(desk.update) in err and not desk.folder.exists()
    config("publish", "--to", desk.folder, desk.sign("--version", 1, "--all"))
    (desk.folder / "all.gavel").write_bytes(b"hurt")
    for words in (["publish", "--to", desk.folder, desk.sign("--version", 2, "--all")],
                  ["sign", "--key", desk.key, "--config", desk.update, "--to", desk.folder, "--all", "--out",
                   desk.path / "b.gavel"]):
        _, err = config(*words, expect=2)
        assert "all.gavel" in err and "Nothing is known of its version" in err
    assert (desk.folder / "all.gavel").read_bytes() == b"hurt"
    for words, said in [((desk.path / "a.gavel",), "publish where"), (("--to", desk.folder), "signed updates")]:
        _, err = config("publish", *words, expect=2)
        assert said in err


def test_in_kafka_each_target_has_its_record_in_a_compacted_topic(desk, world):
    from confluent_kafka import Consumer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource
    made = desk.sign("--version", 1, "--device", "attic", "--group", "pi-3")
    everyone = desk.sign("--version", 2, "--all", name="all.gavel")
    out, _ = config("publish", "--kafka", "--config", world.configure(), made, everyone, env=world.secrets())
    topic = world.prefix + ".config"
    assert "%s, key device/attic: version 1\n" % topic in out
    admin = AdminClient({"bootstrap.servers": world.services.kafka})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    assert admin.describe_configs([resource])[resource].result(30)["cleanup.policy"].value == "compact"
    reader = Consumer({"bootstrap.servers": world.services.kafka, "group.id": world.group,
                       "auto.offset.reset": "earliest"})
    reader.subscribe([topic])
    found = {}

    def all_there():
        message = reader.poll(0.1)
        if message and not message.error():
            found[message.key().decode()] = message.value()
        return len(found) == 3
    until(all_there, "three records in %s" % topic)
    reader.close()
    assert found == {"device/attic": made.read_bytes(), "group/pi-3": made.read_bytes(),
                     "all": everyone.read_bytes()}
    where = ["publish", "--kafka", "--config", world.configure()]
    _, err = config(*where, desk.sign("--version", 3, "--device", "attic", name="fine.gavel"),
                    desk.sign("--version", 2, "--all", "--note", "other", name="low.gavel"),
                    env=world.secrets(), expect=2)
    assert "has version 2 for all already" in err and "--version 3" in err
    config(*where, everyone, env=world.secrets())  # the very same is no harm
    written = Consumer({"bootstrap.servers": world.services.kafka, "group.id": "none"})
    assert written.get_watermark_offsets(TopicPartition(topic, 0), timeout=30) == (0, 4)
    written.close()


# --- diff

def test_diff_shows_each_option_that_would_change_on_the_board(desk):
    made = desk.sign("--version", 1, "--all")
    own = desk.board()
    for update in (made, desk.update):  # signed or not yet
        out, _ = config("diff", update, "--config", own, expect=1)
        assert out.splitlines() == [
            'log.level: "info" -> "warn"', 'log.format: "json" -> "logfmt"',
            'sources: [{ "region": "eu", "game": "retail", "realms": [1305], "commodities": false }] -> '
            '[{ "region": "eu", "game": "retail", "realms": [604], "commodities": false }]']
    desk.update.write_text('{"log": {"format": "json"}, "sources": [{"region": "eu", "realms": [1305]}]}')
    out, _ = config("diff", desk.update, "--config", own)
    assert out == "nothing would change\n"
    _, err = config("diff", desk.update, expect=2)
    assert "compare with what?" in err


def test_diff_asks_a_running_board_what_it_has(desk):
    made = desk.sign("--version", 7, "--all")
    sha256 = hashlib.sha256(UPDATE.encode()).hexdigest()
    answers = {}

    class Board(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path, b"")
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Board)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d" % server.server_port
    try:
        def runs(**update):
            answers["/status.json"] = json.dumps({"gavel": "0.1.0", "update": update}).encode()

        runs(version=7, sha256=sha256)
        out, _ = config("diff", made, "--board", url)
        assert "the same configuration" in out
        runs(version=6, sha256="0" * 64)
        _, err = config("diff", made, "--board", url, expect=2)
        assert "/config.json: it answered HTTP 404" in err
        answers["/config.json"] = b'{"log": {"level": "info"}, "sources": [{"region": "eu", "realms": [604]}]}'
        for address in (url, url + "/", url + "/status.json"):
            out, _ = config("diff", made, "--board", address, expect=1)
            assert "the board runs version 6" in out and "another configuration" in out
            assert out.splitlines()[2:] == ['log.level: "info" -> "warn"']
        runs(version=8, sha256="0" * 64)
        out, _ = config("diff", made, "--board", url, expect=1)
        assert "which the board would not take" in out
        runs(version=0, sha256=None)
        answers["/config.json"] = UPDATE.encode()
        out, _ = config("diff", made, "--board", url)
        assert "the board runs its own file" in out and out.endswith("nothing would change\n")
        answers["/config.json"] = b'{"log": {"levle": "info"}}'
        _, err = config("diff", made, "--board", url, expect=2)
        assert url in err and 'log.level' in err
        answers["/status.json"] = b"<html>"
        _, err = config("diff", made, "--board", url, expect=2)
        assert "not the status of an agent" in err
        _, err = config("diff", made, "--board", url + "/elsewhere", expect=2)
        assert "HTTP 404" in err and "status.listen" in err
    finally:
        server.shutdown()
        server.server_close()
