"""The broker's secure listeners: the right credentials work, the wrong ones are named as such."""
import re
import subprocess

import pytest

import witness
from gavel_env import until

WAYS = [("ssl", None), ("sasl_plaintext", "plain"), ("sasl_plaintext", "scram-sha-256"),
        ("sasl_plaintext", "scram-sha-512"), ("sasl_ssl", "plain"), ("sasl_ssl", "scram-sha-512")]


def secure(world, security, mechanism, user="GAVEL_KAFKA_USER", password=None, ca=None):
    have = world.services.exports
    wanted = {"security": security, "brokers": have["GAVEL_KAFKA_" + security.upper()]}
    if security.endswith("ssl"):
        wanted["ca_file"] = ca or have["GAVEL_KAFKA_CA"]
    if security == "ssl":  # who one is, the broker reads from a certificate
        wanted["properties"] = {"ssl.certificate.location": have["GAVEL_KAFKA_CLIENT_CERT"],
                                "ssl.key.location": have["GAVEL_KAFKA_CLIENT_KEY"]}
    else:
        secret = world.directory / "password"
        secret.write_text(password or have["GAVEL_KAFKA_PASSWORD"] + "\n")
        secret.chmod(0o600)
        wanted.update(sasl_mechanism=mechanism, username=have[user], password="file:%s" % secret)
    world.configure(kafka=wanted, shutdown_timeout_ms=300)


@pytest.mark.parametrize("security, mechanism", WAYS)
def test_agent_and_sink_work_over_a_secured_listener(world, security, mechanism):
    world.serve("--generate", "eu-604:20k")
    secure(world, security, mechanism)
    world.once()
    assert " 1 snapshots found complete" in world.load()
    (verdict,) = witness.verdicts(world).values()
    assert verdict["state"] == "complete" and verdict["records"] == verdict["stored"] > 50


@pytest.mark.parametrize("security, mechanism", WAYS[1:4])
def test_a_wrong_password_is_named_and_not_shown(world, security, mechanism):
    world.serve("--generate", "eu-604:20k")
    secure(world, security, mechanism, password="not-the-password")
    agent = world.agent()
    agent.wait_log("level=(warn|error).*(?i:password)")
    assert agent.is_alive() and "snapshot forwarded" not in agent.log()
    secure(world, security, mechanism)
    assert agent.stop() == 0
    assert "not-the-password" not in agent.log()


def test_a_certificate_of_an_unknown_authority_is_named(world):
    world.serve("--generate", "eu-604:20k")
    other = world.directory / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=somebody else",
                    "-keyout", world.directory / "other.key", "-out", other, "-days", "30"],
                   check=True, capture_output=True)
    secure(world, "sasl_ssl", "plain", ca=str(other))
    agent = world.agent()
    agent.wait_log("level=(warn|error).*certificate")
    assert agent.is_alive() and agent.stop() == 0


def test_who_may_not_write_is_told_so(world):
    world.serve("--generate", "eu-604:20k")
    secure(world, "sasl_plaintext", "plain", user="GAVEL_KAFKA_STRANGER",
           password=world.services.exports["GAVEL_KAFKA_STRANGER_PASSWORD"])
    agent = world.agent()
    agent.wait_log("level=(warn|error).*(?i:not allowed|may not|permission|authori[sz])")
    assert agent.is_alive() and agent.stop() == 0
    assert not any(re.match(world.prefix, name) for name in witness.topics(world.services.kafka))


def test_right_words_end_when_the_password_is_right_again(world):
    world.serve("--generate", "eu-604:20k")
    secure(world, "sasl_plaintext", "plain", password="not-the-password")
    agent = world.agent()
    agent.wait_log("level=(warn|error).*(?i:password)")
    secure(world, "sasl_plaintext", "plain")
    agent.signal(1)
    agent.wait_log("snapshot (forwarded|spooled)")
    until(lambda: len(witness.ledger_entries(world)) == 1, "one entry")
    assert agent.stop() == 0
