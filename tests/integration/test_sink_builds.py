"""The sink as it is packaged: static programs, the one for arm64 in an emulator; and MongoDB over TLS."""
import re
import subprocess

import pytest

import witness
from gavel_env import TOP
from test_end_to_end import FIRST_HOUR, adversarial_body, samples
from tls_door import CERTIFICATES, TlsDoor
from witness import Snapshot

EMULATORS = {"arm64": ("qemu-aarch64-static", "-cpu", "cortex-a53"), "amd64": ()}
PACKAGED = [pytest.param(target, marks=pytest.mark.boards) for target in EMULATORS]


def built(world, target):
    """The world, with that target's sink; the host's is built already."""
    if target != "host":
        done = subprocess.run([TOP / "toolchains" / "build", target, "--sink"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        world.sink_program = TOP / "build" / (target + "-sink") / "bin" / "gavel-sink"
        world.sink_wrapper = EMULATORS[target]
    return world


@pytest.mark.parametrize("target", PACKAGED)
def test_a_packaged_sink_stores_every_auction_once_and_proves_it(world, target):
    built(world, target)
    world.serve()
    world.configure(sources=[{"region": "eu", "realms": [604], "commodities": True}])
    snapshots = [s for s in samples(0) if s.house == 0]
    assert "snapshots=2" in world.once()
    assert " 2 snapshots found complete" in world.load()
    witness.check_all_is_there(world, snapshots)
    code, found = world.audit()
    assert code == 0 and found.keys() == {s.name for s in snapshots}
    assert {each["state"] for each in found.values()} == {"complete"}


@pytest.mark.parametrize("target", PACKAGED)
def test_a_packaged_sink_stores_the_same_in_sqlite(world, target):
    built(world, target)
    body, _ = adversarial_body(600)
    snapshot, path = Snapshot(body, FIRST_HOUR), world.directory / "gavel.db"
    world.serve_body(body)
    world.configure(sink={"store": "sqlite"}, sqlite={"path": str(path)})
    world.once()
    world.load()
    witness.check_rows(path, world.raw, [snapshot])
    code, found = world.audit()
    assert code == 0 and found[snapshot.name]["state"] == "complete"
    assert found[snapshot.name]["records"] == len(snapshot.records)


@pytest.fixture
def door(services):
    host, port = re.fullmatch(r"mongodb://([^/:]+):(\d+)/.*", services.mongo).groups()
    door = TlsDoor(host, int(port))
    yield door
    door.close()


def uri_through(door, ca):
    return "mongodb://127.0.0.1:%d/?directConnection=true&tls=true&tlsCAFile=%s" % (door.port, CERTIFICATES / ca)


@pytest.mark.parametrize("target", ["host", *PACKAGED])
def test_mongodb_is_reached_over_tls_and_only_with_a_certificate_of_the_named_authority(world, door, target):
    built(world, target)
    world.serve("--generate", "eu-604:20k")
    world.once()

    world.configure(mongo={"uri": uri_through(door, "other-ca.pem")})
    stranger = world.sink()
    stranger.wait_log("level=(warn|error).*(?i:certificate)")
    stranger.stop()
    assert door.passed == 0 and not witness.verdicts(world)

    world.configure(mongo={"uri": uri_through(door, "ca.pem")})
    assert " 1 snapshots found complete" in world.load()
    assert door.passed > 0
    (verdict,) = witness.verdicts(world).values()
    assert verdict["state"] == "complete" and verdict["records"] == verdict["stored"] > 50
    assert world.audit()[0] == 0
