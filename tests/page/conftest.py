"""A browser for the status page's tests; what it complains about fails the test."""
import os
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

from fixtures import services, world  # noqa: E402, F401  (needs the path above; pytest finds them here)
from page_server import PageServer  # noqa: E402
from reader import Reader  # noqa: E402

@pytest.fixture(scope="session")
def browser():
    program = os.environ.get("GAVEL_BROWSER") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if not program:
        pytest.skip("no Chromium; toolchains/install-packages browser")
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


@pytest.fixture
def reader(browser):
    """Makes readers."""
    readers = []

    def make(*args, **more):
        readers.append(Reader(browser, *args, **more))
        return readers[-1]
    yield make
    for each in readers:
        each.context.close()
        assert each.complaints == []


@pytest.fixture
def agent():
    server = PageServer()
    yield server
    server.close()
