"""The registry client's unit tests, which then also ask a real registry."""
import os
import subprocess

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


def test_a_real_registry_answers_as_the_client_expects(services, tmp_path):
    alone = passed("unit/test_registry", tmp_path, {})
    with_registry = passed("unit/test_registry", tmp_path, services.exports)
    assert with_registry > alone, "the real registry was not asked"
