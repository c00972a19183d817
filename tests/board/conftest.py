"""Fixtures of the tests on a whole board; see emulator."""
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "integration")]

from fixtures import services, world  # noqa: E402, F401  (needs the path above)
from board import Board  # noqa: E402


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
