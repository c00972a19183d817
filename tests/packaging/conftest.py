"""Fixtures of the package tests.

Environment: GAVEL_PACKAGES_TLS=1 builds as shipped, with TLS towards Kafka (minutes more, the first time).
"""
import os
import pathlib
import subprocess

import pytest

import machine

TOP = pathlib.Path(__file__).resolve().parents[2]


class Packages:
    """The built packages by name and architecture."""

    def __init__(self, *targets):
        flavour = [] if os.environ.get("GAVEL_PACKAGES_TLS") else ["--no-tls"]
        self.command = [TOP / "board" / "packaging" / "build", *flavour]
        self.paths = self.build(TOP / "build" / "packages", *targets)

    def build(self, directory, *targets, **more):
        done = subprocess.run([*self.command, "--out", directory, *targets], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        files = [pathlib.Path(line) for line in done.stdout.splitlines()]
        return {(name.split("_")[0], name.split("_")[2][:-4]): TOP / path
                for path, name in ((path, path.name) for path in files)}


@pytest.fixture(scope="session")
def packages():
    return Packages("amd64")


@pytest.fixture
def agent(packages):
    return packages.paths["gavel", "amd64"]


@pytest.fixture
def sink(packages):
    return packages.paths["gavel-sink", "amd64"]


@pytest.fixture
def root(tmp_path):
    reason = machine.why_not()
    if reason:
        pytest.skip(reason)
    directory = tmp_path / "machine"
    directory.mkdir()
    here = machine.Root(directory)
    yield here
    here.close()


def pytest_configure(config):
    config.addinivalue_line("markers", "boards: builds for the boards, which takes minutes the first time")
