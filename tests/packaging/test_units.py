"""The systemd units: how much they may do, and that the programs can work with that."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import machine

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests" / "doubles" / "api"), str(TOP / "tests" / "data")]

from standin_client import StandIn  # noqa: E402  (needs the path above)

UNITS = {name: TOP / "board" / "packaging" / name / (name + ".service") for name in ("gavel", "gavel-sink")}
EXPOSURE_MAX = 1.5
EMBEDDED = TOP / os.environ.get("GAVEL_BUILD", "build/host") / "bin" / "gavel-embedded"
WAIT_S = 60


def exposure(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                          capture_output=True, text=True)
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)[1])


@pytest.mark.parametrize("name", sorted(UNITS))
def test_a_unit_is_hardly_exposed(name):
    assert exposure(UNITS[name]) <= EXPOSURE_MAX


def test_the_measure_of_exposure_sees_what_a_unit_allows(tmp_path):
    open_unit = tmp_path / "gavel.service"
    open_unit.write_text(UNITS["gavel"].read_text().replace("SystemCallFilter=", "#")
                         .replace("CapabilityBoundingSet=", "#"))
    assert exposure(open_unit) > EXPOSURE_MAX


def test_systemd_has_no_complaint_about_the_units(root, agent, sink):
    root.install(agent, sink)
    for name in UNITS:
        done = root.try_run("systemd-analyze", "verify", "--man=yes", name + ".service")
        assert (done.code, done.text) == (0, "")


def test_no_unit_waits_for_a_network():
    for path in UNITS.values():
        settings = [line for line in path.read_text().splitlines() if line.startswith(("After=", "Wants=", "Requires="))]
        assert settings == ["After=local-fs.target"]


@pytest.fixture
def booted(tmp_path):
    reason = machine.why_not() or (None if shutil.which("systemd-nspawn") else "systemd-nspawn is missing")
    if reason:
        pytest.skip(reason)
    directory = tmp_path / "machine"
    directory.mkdir()
    here = machine.Booted(directory, bind=[tmp_path])
    yield here
    here.close()


@pytest.fixture
def api(tmp_path):
    api = StandIn(tmp_path / "api").start()
    yield api
    api.stop()


@pytest.fixture
def servers():
    process = subprocess.Popen([EMBEDDED], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    yield json.loads(process.stdout.readline())
    process.terminate()
    process.wait(WAIT_S)
    process.stdout.close()


class Unit:
    def __init__(self, booted, name):
        self.booted, self.name = booted, name

    def show(self, what):
        return self.booted.run("systemctl", "show", "--value", "-p", what, self.name).strip()

    def journal(self):
        return self.booted.run("journalctl", "--no-pager", "-u", self.name)

    def wait_status(self, pattern):
        def found():
            match = re.search(pattern, self.show("StatusText"))
            assert match or self.show("ActiveState") != "failed", self.journal()
            return match
        try:
            return machine.until(found, "status " + pattern, WAIT_S)
        except AssertionError as error:
            raise AssertionError("%s\n%s\n%s" % (error, self.show("StatusText"), self.journal())) from None


def configure(booted, api, servers):
    """As a person would have it, but for the addresses."""
    about = api.about
    main_host = {"kafka": {"brokers": servers["brokers"]}, "registry": {"urls": [servers["registry"]]}}
    booted.write("/etc/gavel/gavel.json", json.dumps({
        **main_host,
        "sources": [{"region": "eu", "realms": [604]}],
        "api": {"client_id": "credential:client_id", "client_secret": "credential:client_secret",
                "base_url": about["base_url"] + "/{region}", "token_url": about["base_url"] + "/token",
                "ca_file": "/etc/gavel/api-ca.pem"}}))
    booted.write("/etc/gavel/api-ca.pem", pathlib.Path(about["ca"]).read_text())
    booted.write("/etc/gavel/gavel-sink.json", json.dumps({**main_host, "sink": {"store": "sqlite"}}))
    for name in ("client_id", "client_secret"):
        booted.run("install", "-m", "600", "/dev/null", "/etc/gavel/" + name)
        booted.write("/etc/gavel/" + name, about[name] + "\n")


def test_without_a_key_it_is_not_started_and_nothing_has_failed(booted, agent, tmp_path):
    booted.install(shutil.copy(agent, tmp_path))
    gavel = Unit(booted, "gavel")
    assert gavel.show("ActiveState") == "inactive"
    assert gavel.show("ConditionResult") == "no"


def test_auctions_go_through_both_units_as_they_are_shipped(booted, agent, sink, api, servers, tmp_path):
    for deb in (sink, agent):
        shutil.copy(deb, tmp_path)
    booted.run("install", "-d", "/etc/gavel")
    configure(booted, api, servers)
    booted.install(tmp_path / sink.name, tmp_path / agent.name)
    gavel, loader = Unit(booted, "gavel"), Unit(booted, "gavel-sink")

    gavel.wait_status(r"[1-9]\d* snapshots and [1-9]\d* records forwarded .*registry: ")
    for unit in (gavel, loader):
        assert (unit.show("ActiveState"), unit.show("Type")) == ("active", "notify")
        assert unit.show("User") == unit.name

    def complete():
        return booted.try_run("gavel-sink", "audit").code == 0
    machine.until(complete, "a snapshot that is complete", WAIT_S)

    # What it wrote is its own; a reload and a crash are survived.
    assert booted.mode("/var/lib/gavel") == "gavel:gavel 750"
    assert booted.mode("/var/lib/gavel/cursors") == "gavel:gavel 700"
    first = gavel.show("MainPID")
    booted.run("systemctl", "reload", "gavel")
    machine.until(lambda: "configuration read again" in gavel.journal(), "a reload", WAIT_S)
    assert gavel.show("MainPID") == first
    booted.run("systemctl", "kill", "--signal=KILL", "gavel")
    machine.until(lambda: gavel.show("MainPID") not in ("0", first) and
                  gavel.show("ActiveState") == "active", "a restart", WAIT_S)
    booted.run("systemctl", "stop", "gavel", "gavel-sink")
    for unit in (gavel, loader):
        assert (unit.show("ActiveState"), unit.show("Result")) == ("inactive", "success"), unit.journal()
        assert not re.search(r"level=error|not permitted|denied", unit.journal()), unit.journal()
