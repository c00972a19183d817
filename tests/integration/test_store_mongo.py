"""What every store adapter promises, asked of a real server: the cases are in ../conformance/test_store.c,
one result each here."""
import os
import re
import subprocess

import pytest

from gavel_env import BUILD, SANITIZER, TOP

PROGRAM = BUILD / "tests" / "conformance" / "test_store"
CASES = re.findall(r"EACH\((\w+)\),", (TOP / "tests" / "conformance" / "test_store.c").read_text())
SQLITE_ONLY = {"a_newer_file_is_not_touched"}
assert len(CASES) > len(SQLITE_ONLY)


@pytest.mark.parametrize("case", [c for c in CASES if c not in SQLITE_ONLY])
def test_mongodb(services, tmp_path, case):
    done = subprocess.run([PROGRAM, case], env={**os.environ, **SANITIZER, **services.exports},
                          cwd=tmp_path, capture_output=True, text=True, timeout=180)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    mongodb = text[text.rindex("Running 1 test(s)"):]
    assert "[       OK ] " + case in mongodb and text.count("Running 1 test(s)") == 2, text
