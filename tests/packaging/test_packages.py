"""What is in the packages, without installing them."""
import hashlib
import os
import re
import subprocess

import pytest

TREE = {
    "gavel": {"./usr/bin/gavel": "-rwxr-xr-x", "./etc/gavel/gavel.json": "-rw-r--r--",
              "./lib/systemd/system/gavel.service": "-rw-r--r--",
              "./usr/lib/sysusers.d/gavel.conf": "-rw-r--r--",
              "./usr/share/man/man1/gavel.1.gz": "-rw-r--r--",
              "./usr/share/doc/gavel/copyright": "-rw-r--r--",
              "./usr/share/doc/gavel/changelog.gz": "-rw-r--r--",
              "./usr/share/lintian/overrides/gavel": "-rw-r--r--"},
}
TREE["gavel-sink"] = {path.replace("gavel.", "gavel-sink.").replace("doc/gavel/", "doc/gavel-sink/")
                      .replace("bin/gavel", "bin/gavel-sink").replace("overrides/gavel", "overrides/gavel-sink"): mode
                      for path, mode in TREE["gavel"].items()}
TREE["gavel"]["./lib/systemd/system-generators/gavel-generator"] = "-rwxr-xr-x"
TREE["gavel"]["./usr/share/gavel/watchdog.conf"] = "-rw-r--r--"
EVERYWHERE = ("amd64",)
BOARDS = {"arm64": ("gavel", "arm64"), "armhf": ("gavel", "armhf"), "armv6": ("gavel-armv6", "armhf")}


def output(*words):
    return subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout


def field(deb, name):
    return output("dpkg-deb", "--field", deb, name).strip()


@pytest.mark.parametrize("name", ["gavel", "gavel-sink"])
def test_a_package_holds_what_it_should_and_all_of_it_is_roots(packages, name):
    listed = output("dpkg-deb", "--contents", packages.paths[name, "amd64"])
    found = {}
    for line in listed.splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        assert owner == "root/root", line
        if mode.startswith("-"):
            found[path] = mode
        else:
            assert mode == "drwxr-xr-x", line
    assert found == TREE[name]


@pytest.mark.parametrize("name", ["gavel", "gavel-sink"])
def test_lintian_has_nothing_to_say(packages, name):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning",
                           packages.paths[name, "amd64"]], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_agent_needs_nothing_of_the_system_but_its_services(agent):
    assert set(re.findall(r"[a-z][a-z-]+", field(agent, "Depends"))) == {
        "ca-certificates", "init-system-helpers", "systemd"}


def test_the_same_commit_gives_the_same_bytes(packages, tmp_path):
    other = {**os.environ, "TZ": "Pacific/Auckland", "LANG": "C.UTF-8"}
    again = packages.build(tmp_path, *EVERYWHERE, env=other, umask=0o077)
    assert set(again) == set(packages.paths)
    for which, path in packages.paths.items():
        sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, again[which])]
        assert sums[0] == sums[1], which


@pytest.mark.boards
@pytest.mark.parametrize("target", sorted(BOARDS))
def test_each_board_has_its_package(packages, tmp_path, target):
    built = packages.build(tmp_path, target)
    assert list(built) == [BOARDS[target]]
    deb = built[BOARDS[target]]
    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", deb],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    emulator = {"arm64": ["qemu-aarch64-static", "-cpu", "cortex-a53"],
                "armhf": ["qemu-arm-static", "-cpu", "cortex-a7"],
                "armv6": ["qemu-arm-static", "-cpu", "arm1176"]}[target]
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path / "tree"], check=True)
    assert output(*emulator, tmp_path / "tree/usr/bin/gavel", "--version").startswith("gavel ")
    other = {"arm64": "", "armhf": "gavel-armv6", "armv6": "gavel"}[target]
    assert field(deb, "Conflicts") == field(deb, "Replaces") == other
    if target == "armv6":
        assert field(deb, "Provides").startswith("gavel (= ")


@pytest.mark.boards
@pytest.mark.parametrize("processor, code", [("armv6l", 1), ("armv7l", 0), ("aarch64", 0)])
def test_the_package_for_armv7_is_refused_by_an_armv6(packages, tmp_path, processor, code):
    deb = packages.build(tmp_path, "armhf")["gavel", "armhf"]
    subprocess.run(["dpkg-deb", "--control", deb, tmp_path / "control"], check=True)
    (tmp_path / "uname").write_text("#!/bin/sh\necho %s\n" % processor)
    (tmp_path / "uname").chmod(0o755)
    done = subprocess.run([tmp_path / "control" / "preinst", "install"], capture_output=True, text=True,
                          env={"PATH": "%s:/usr/bin:/bin" % tmp_path})
    assert done.returncode == code
    assert ("install the package gavel-armv6" in done.stderr) == (code == 1)
