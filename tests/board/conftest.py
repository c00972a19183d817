"""Fixtures of the tests on a whole board (see emulator), and of a board's program in an emulator."""
import json
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "integration")]

from fixtures import progress, services, world  # noqa: E402, F401  (needs the path above)
from gavel_env import TOP  # noqa: E402
from board import Board  # noqa: E402

TARGETS = ("arm64", "armhf", "armv6")


def pytest_addoption(parser):
    parser.addoption("--cuts", type=int, default=1, help="how often the power is cut")
    parser.addoption("--card-options", default="",
                     help="to mount it with; barrier=0: nothing is flushed, and the test fails")


@pytest.fixture
def cuts(request):
    return request.config.getoption("--cuts")


@pytest.fixture
def board(request, world):  # noqa: F811
    return Board(world, request.config.getoption("--card-options"))


@pytest.fixture(params=TARGETS)
def target(request, world):  # noqa: F811
    """The agent is the one built for that board, and runs on an emulated processor of it."""
    world.gavel = TOP / "build" / request.param / "bin" / "gavel"
    assert world.gavel.exists(), "not built: toolchains/build %s --no-tls" % request.param
    presets = json.loads((TOP / "CMakePresets.json").read_text())["configurePresets"]
    (preset,) = [each for each in presets if each["name"] == request.param]
    world.emulator = preset["cacheVariables"]["CMAKE_CROSSCOMPILING_EMULATOR"].split(";")
    return request.param
