"""Every listener and login of a real broker, rights, topics and a real consumer group: the cases are
in test_kafka_real.c, one result each here."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from gavel_env import BUILD, SANITIZER

PROGRAM = BUILD / "tests" / "integration" / "test_kafka_real"
SOURCE = Path(__file__).with_name("test_kafka_real.c").read_text()
CASES = re.findall(r"cmocka_unit_test\((\w+)\)", SOURCE)
assert CASES


@pytest.mark.parametrize("case", CASES)
def test_real_broker(services, case):
    done = subprocess.run([PROGRAM, case], env={**os.environ, **SANITIZER, **services.exports},
                          capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 test(s) run" in done.stdout + done.stderr
