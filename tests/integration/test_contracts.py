"""Contracts that unit tests hold against doubles, held against the real servers too."""
import os
import subprocess

import pytest

from gavel_env import BUILD, SANITIZER

NAMES = ("GAVEL_KAFKA", "GAVEL_REGISTRY_URL", "GAVEL_MONGO_URL")


def passed(program, cwd, exports):
    """How many of its cases passed; none may fail."""
    env = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([BUILD / "tests" / program], cwd=cwd, capture_output=True, text=True,
                          env={**env, **SANITIZER, **exports}, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    return said.count("[       OK ]")


@pytest.mark.parametrize("program", ["conformance/test_store", "unit/test_registry"])
def test_the_contract_holds_with_real_servers(services, program, tmp_path):
    alone = passed(program, tmp_path, {})
    assert passed(program, tmp_path, services.exports) > alone, "the real servers were not asked"
