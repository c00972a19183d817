"""The systemd units: how much they may do, and that the programs can work with that."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import machine

TOP = pathlib.Path(__file__).resolve().parents[2]
UNITS = {name: TOP / "board" / "packaging" / name / (name + ".service") for name in ("gavel", "gavel-sink")}
EXPOSURE_MAX = 1.5
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


INSTALL = TOP / "board" / "INSTALL.md"


def test_the_boards_watchdog_is_left_alone_until_it_is_asked_for_as_the_manual_says(booted, agent, tmp_path):
    def watchdogs():
        return booted.run("systemctl", "show", "-p", "RuntimeWatchdogUSec", "-p", "RebootWatchdogUSec").split()

    before = watchdogs()
    booted.install(shutil.copy(agent, tmp_path))
    booted.run("systemctl", "daemon-reexec")
    assert watchdogs() == before
    steps = re.findall(r"^ +sudo (.*(?:gavel-watchdog\.conf|daemon-reexec).*)$", INSTALL.read_text(), re.M)
    assert len(steps) == 2
    for step in steps:
        booted.run(*step.split())
    assert watchdogs() == ["RuntimeWatchdogUSec=1min", "RebootWatchdogUSec=2min"] != before


def set_up(booted, api, servers):
    """As a person does it; options stand in for the addresses of the API."""
    about = api.about
    booted.write("/etc/gavel/api-ca.pem", pathlib.Path(about["ca"]).read_text())
    booted.write("/root/secret", about["client_secret"])
    said = booted.run("gavel", "setup", "--yes", "--region", "eu", "--realms", "604", "--commodities", "no",
                      "--client-id", about["client_id"], "--client-secret-file", "/root/secret",
                      "--brokers", servers["brokers"], "--registry", servers["registry"],
                      "--base-url", about["base_url"] + "/{region}", "--token-url", about["base_url"] + "/token",
                      "--ca-file", "/etc/gavel/api-ca.pem")
    assert said.count(" ok: ") == 4, said
    booted.write("/etc/gavel/gavel-sink.json", json.dumps({
        "kafka": {"brokers": servers["brokers"]}, "registry": {"urls": [servers["registry"]]},
        "sink": {"store": "sqlite"}}))


def test_auctions_go_through_both_units_as_they_are_shipped(booted, agent, sink, api, servers, tmp_path):
    booted.install(*(shutil.copy(deb, tmp_path) for deb in (sink, agent)))
    gavel, loader = Unit(booted, "gavel"), Unit(booted, "gavel-sink")
    # Without a key it is not started, and nothing has failed.
    assert (gavel.show("ActiveState"), gavel.show("ConditionResult")) == ("inactive", "no")

    # Its limit of memory follows the board and the configuration.
    assert gavel.show("MemoryMax") == str((12 + 48) << 20)
    set_up(booted, api, servers)
    booted.run("sed", "-i", r"s|^{$|{ \"memory\": { \"budget_kib\": 14336 },|", "/etc/gavel/gavel.json")
    booted.run("systemctl", "daemon-reload")
    assert gavel.show("MemoryMax") == str((14 + 48) << 20)
    assert booted.mode("/etc/gavel/gavel.json") == "root:gavel 640"
    for name in ("client_id", "client_secret"):
        assert booted.mode("/etc/gavel/" + name) == "gavel:gavel 600"
    booted.run("systemctl", "restart", "gavel", "gavel-sink")
    gavel.wait_status(r"[1-9]\d* snapshots and [1-9]\d* records forwarded .*registry: ")
    for unit in (gavel, loader):
        assert (unit.show("ActiveState"), unit.show("Type")) == ("active", "notify")
        assert unit.show("User") == unit.name
    said = booted.try_run("gavel", "status").text # by its page, from inside the unit
    assert re.match(r"gavel \S+ on ", said), said

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
