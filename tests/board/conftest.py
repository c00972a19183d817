"""Fixtures of the tests on a whole board; see emulator."""
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "integration")]

from fixtures import services, world  # noqa: E402, F401  (needs the path above)
from board import Board  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--cuts", type=int, default=1, help="how often the power is cut")
    parser.addoption("--disk-cache", default="writeback", help="unsafe: a disk that lies, to see the test fail")


@pytest.fixture
def cuts(request):
    return request.config.getoption("--cuts")


@pytest.fixture
def board(request, world):  # noqa: F811
    return Board(world, request.config.getoption("--disk-cache"))
