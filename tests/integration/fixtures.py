"""Fixtures of the end-to-end tests, here and in tests/board; gavel_env.py says what they give."""
import os

import pytest

from gavel_env import GAVEL, SINK, Services, World
from outage import Progress

NOT_TO_BE_HAD = 3


@pytest.fixture(scope="session")
def services():
    for program in (GAVEL, SINK):
        assert program.exists(), "%s is not built: set GAVEL_BUILD, or build the host preset" % program
    servers = Services()
    keep = os.environ.get("GAVEL_TEST_KEEP")
    if not keep:
        servers.run("wipe")
    code, text = servers.run("up")
    if code == NOT_TO_BE_HAD:
        pytest.skip(text)
    assert code == 0, text
    servers.read_exports()
    yield servers
    if not keep:
        servers.run("wipe")


@pytest.fixture
def world(tmp_path, services):
    here = World(tmp_path, services)
    yield here
    here.close()


@pytest.fixture
def progress(world):
    seen = Progress(world)
    yield seen
    seen.close()
