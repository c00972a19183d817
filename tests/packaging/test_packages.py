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
BOARDS = {"arm64": [("gavel", "arm64"), ("gavel-sink", "arm64")], "armhf": [("gavel", "armhf")],
          "armv6": [("gavel-armv6", "armhf")]}
EMULATORS = {"arm64": ["qemu-aarch64-static", "-cpu", "cortex-a53"],
             "armhf": ["qemu-arm-static", "-cpu", "cortex-a7"],
             "armv6": ["qemu-arm-static", "-cpu", "arm1176"]}
# As readelf says it.
MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64", "armhf": "ARM", "armv6": "ARM"}


def output(*words):
    return subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout


def field(deb, name):
    return output("dpkg-deb", "--field", deb, name).strip()


def check_contents(deb, name):
    """Name, path and mode of every file, and all of it is root's."""
    listed = output("dpkg-deb", "--contents", deb)
    found = {}
    for line in listed.splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        assert owner == "root/root", line
        if mode.startswith("-"):
            found[path] = mode
        else:
            assert mode == "drwxr-xr-x", line
    assert found == TREE[name]


def check_with_lintian(deb):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", deb],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def check_program(program, target):
    """It is for that machine, one static program, and knows who it is."""
    header, segments = output("readelf", "-hW", program), output("readelf", "-lW", program)
    assert re.search(r"Machine: +" + re.escape(MACHINES[target]) + "$", header, re.M), header
    assert "LOAD" in segments and not re.search("INTERP|DYNAMIC", segments), segments
    said = output(*EMULATORS.get(target, []), program, "--version")
    assert said.startswith(program.name + " ")
    if program.name == "gavel-sink":  # TLS and SCRAM are always in it
        for library in ("OpenSSL 3", "libmongoc 1", "SQLite 3"):
            assert library in said, said


@pytest.mark.parametrize("name", ["gavel", "gavel-sink"])
def test_a_package_holds_what_it_should_and_all_of_it_is_roots(packages, name):
    check_contents(packages.paths[name, "amd64"], name)


@pytest.mark.parametrize("name", ["gavel", "gavel-sink"])
def test_lintian_has_nothing_to_say(packages, name):
    check_with_lintian(packages.paths[name, "amd64"])


@pytest.mark.parametrize("name", ["gavel", "gavel-sink"])
def test_a_program_needs_nothing_of_the_system_but_its_services(packages, name, tmp_path):
    deb = packages.paths[name, "amd64"]
    assert set(re.findall(r"[a-z][a-z-]+", field(deb, "Depends"))) == {
        "ca-certificates", "init-system-helpers", "systemd"}
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path], check=True)
    check_program(tmp_path / "usr/bin" / name, "amd64")


def test_the_licence_of_every_library_in_a_program_is_told(packages, tmp_path):
    for name in ("gavel", "gavel-sink"):
        subprocess.run(["dpkg-deb", "--extract", packages.paths[name, "amd64"], tmp_path], check=True)
        told = (tmp_path / "usr/share/doc" / name / "copyright").read_text().lower()
        said = output(tmp_path / "usr/bin" / name, "--version")
        libraries = re.findall(r"(?:^|, )([A-Za-z][\w-]*)[ /]\d", said.split("\n", 1)[1], re.M)
        assert len(libraries) >= 7, said
        for library in libraries:
            called = {"libcurl": "curl", "libmongoc": "mongo-c-driver"}.get(library, library.lower())
            assert "\nfiles: %s\n" % called in told, library


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
    assert list(built) == BOARDS[target]
    other = {"arm64": "", "armhf": "gavel-armv6", "armv6": "gavel"}[target]
    for (package, _), deb in built.items():
        name = package.replace("-armv6", "")
        check_with_lintian(deb)
        if package == name:
            check_contents(deb, name)
        assert field(deb, "Conflicts") == field(deb, "Replaces") == other
        subprocess.run(["dpkg-deb", "--extract", deb, tmp_path / package], check=True)
        check_program(tmp_path / package / "usr/bin" / name, target)
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
