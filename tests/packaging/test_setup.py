"""`gavel setup`, against the stand-in API and the embedded broker and registry."""
import json
import os
import re
import stat
import subprocess

import pytest

from conftest import BUILD

GAVEL = BUILD / "bin" / "gavel"
NOBODY = "127.0.0.1:1"


class Setup:
    def __init__(self, directory, api, servers):
        self.directory, self.api, self.servers = directory, api.about, servers
        self.path = directory / "gavel.json"
        self.secret_file = directory / "typed"
        self.secret_file.write_text(self.api["client_secret"] + "\n")

    def run(self, *words, lines=()):
        """(exit code, what it said); the stand-in is where the API would be."""
        about = self.api
        environment = {k: v for k, v in os.environ.items() if k != "CREDENTIALS_DIRECTORY"}
        done = subprocess.run(
            [GAVEL, "setup", "--config", self.path, "--base-url", about["base_url"] + "/{region}",
             "--token-url", about["base_url"] + "/token", "--ca-file", about["ca"], *words],
            input="".join(line + "\n" for line in lines), capture_output=True, text=True,
            env=environment, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def options(self, **changes):
        values = {"region": "eu", "realms": "604", "commodities": "no", "client-id": self.api["client_id"],
                  "client-secret-file": self.secret_file, "brokers": self.servers["brokers"],
                  "registry": self.servers["registry"], **changes}
        return [word for name, value in values.items() for word in ("--" + name, str(value))]

    def check(self):
        done = subprocess.run([GAVEL, "config", "show", "--config", self.path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        # Behind each value a comment says where it comes from.
        return json.loads(re.sub(r"(?m) *// (file|profile|default)\b.*$", "", done.stdout))


@pytest.fixture
def setup(tmp_path, api, servers):
    directory = tmp_path / "etc"
    directory.mkdir()
    return Setup(directory, api, servers)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_answers_become_a_configuration_that_works(setup):
    code, said = setup.run(lines=["eu", "604", "yes", setup.api["client_id"], setup.api["client_secret"],
                                  setup.servers["brokers"], setup.servers["registry"]])
    assert code == 0, said
    assert re.findall(r"^  (API key|realms|broker|registry) +(\w+)", said, re.M) == [
        ("API key", "ok"), ("realms", "ok"), ("broker", "ok"), ("registry", "ok")]
    config = setup.check()
    assert config["sources"] == [{"region": "eu", "game": "retail", "realms": [604], "commodities": True}]
    assert config["kafka"]["brokers"] == setup.servers["brokers"]
    assert config["registry"]["urls"] == [setup.servers["registry"]]
    assert setup.api["client_secret"] not in said + setup.path.read_text()
    assert "// The main host" in setup.path.read_text()
    assert mode(setup.path) == 0o640
    for name in ("client_id", "client_secret"):
        assert (setup.directory / name).read_text() == setup.api[name] + "\n"
        assert mode(setup.directory / name) == 0o600


def test_options_leave_nothing_to_be_asked(setup):
    code, said = setup.run(*setup.options(), "--yes")
    assert code == 0, said
    assert "[Y/n]" not in said and "]: " not in said
    assert setup.check()["sources"][0]["realms"] == [604]


def test_a_wrong_answer_is_asked_again(setup):
    code, said = setup.run(*setup.options()[2:], lines=["mars", "eu"])
    assert code == 0, said
    assert said.count("a region is us, eu, kr or tw") == 1


@pytest.mark.parametrize("changes, words", [
    ({"realms": "77777"}, "77777 is no connected realm of eu"),
    ({"client-id": "stranger"}, "refused the client id or secret"),
    ({"brokers": NOBODY}, NOBODY),
    ({"registry": "http://" + NOBODY}, "http://" + NOBODY),
])
def test_what_does_not_answer_is_named_and_a_no_writes_nothing(setup, changes, words):
    code, said = setup.run(*setup.options(**changes), lines=["n"])
    assert code == 2, said
    assert re.search(r"NO: .*" + re.escape(words), said), said
    assert "Write it all the same?" in said
    assert not setup.path.exists() and not (setup.directory / "client_secret").exists()


def test_with_the_main_host_away_it_is_written_all_the_same_on_demand(setup):
    code, said = setup.run(*setup.options(brokers=NOBODY, registry="http://" + NOBODY), lines=["y"])
    assert code == 1, said
    assert setup.check()["kafka"]["brokers"] == NOBODY


def test_an_edited_file_is_changed_only_when_asked_for_and_keeps_the_rest(setup):
    setup.path.write_text('{ // mine\n "sources": [{"region": "us", "realms": [9]}],\n'
                          ' "log": {"level": "debug"} /* because */ }\n')
    before = setup.path.read_text()
    code, said = setup.run(*setup.options(), lines=["n"])
    assert (code, setup.path.read_text()) == (2, before), said
    code, said = setup.run(*setup.options(), lines=["y"])
    assert code == 0, said
    after = setup.path.read_text()
    assert "// mine" in after and "/* because */" in after
    assert setup.check()["log"]["level"] == "debug"
    assert (setup.directory / "gavel.json.before-setup").read_text() == before


def test_empty_answers_keep_what_is_there(setup):
    assert setup.run(*setup.options(), "--yes")[0] == 0
    before = setup.check()
    code, said = setup.run(lines=[""] * 7 + ["y"])
    assert code == 0, said
    assert setup.check() == before
    assert setup.api["client_secret"] not in said


def test_an_end_of_answers_writes_nothing(setup):
    code, said = setup.run(lines=["eu", "604"])
    assert code == 2 and "nothing was written" in said
    assert not setup.path.exists()


def test_a_broken_file_is_not_touched(setup):
    setup.path.write_text("{ broken")
    code, said = setup.run(*setup.options(), "--yes")
    assert (code, setup.path.read_text()) == (2, "{ broken")
    assert "mend " in said


def test_where_nothing_can_be_written_nothing_is_asked(setup):
    setup.path = setup.directory / "missing" / "gavel.json"
    code, said = setup.run()
    assert code == 2 and "missing/ cannot be written to" in said
    assert "Region" not in said
