"""Installing, upgrading, removing and purging, with dpkg, in a root of its own."""
import subprocess

CONFIG = "/etc/gavel/gavel.json"


def newer(deb, directory, change):
    """The package again as a later version, after change(tree)."""
    tree = directory / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 9."))
    change(tree)
    out = directory / "newer.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, out], check=True,
                   capture_output=True)
    return out


def another_default(tree):
    file = tree / "etc/gavel/gavel.json"
    file.write_text("// a new default\n" + file.read_text())


def test_after_installing_it_runs_has_its_user_and_starts_at_boot(root, agent, sink):
    root.install(agent, sink)
    for name in ("gavel", "gavel-sink"):
        assert root.run("/usr/bin/" + name, "--version").startswith(name + " ")
        uid, shell = root.run("getent", "passwd", name).strip().split(":")[2::4]
        assert 0 < int(uid) < 1000 and shell.endswith("nologin")
        assert root.mode("/var/lib/" + name) == "%s:%s 750" % (name, name)
        assert root.mode("/etc/gavel/%s.json" % name) == "root:root 644"
        assert root.run("systemctl", "is-enabled", name).strip() == "enabled"
    assert root.mode("/etc/gavel") == "root:root 755"
    assert "carry auction snapshots" in root.run("man", "gavel")


def test_the_shipped_configurations_are_good(root, agent, sink):
    root.install(agent, sink)
    for secret in ("client_id", "client_secret"):
        root.run("install", "-m", "600", "/etc/hostname", "/etc/gavel/" + secret)
    assert root.run("env", "CREDENTIALS_DIRECTORY=/etc/gavel", "gavel", "config", "check").endswith(": OK\n")
    assert root.run("gavel-sink", "config", "check").endswith(": OK\n")


def test_an_upgrade_keeps_data_and_an_edited_configuration(root, agent, tmp_path):
    root.install(agent)
    root.write("/var/lib/gavel/kept", "data")
    root.write("/etc/gavel/client_secret", "key")
    root.write(CONFIG, "{ /* mine */ }")
    root.run("systemctl", "disable", "gavel")
    root.install(newer(agent, tmp_path, another_default))
    assert root.run("dpkg-query", "-W", "-f", "${Version}", "gavel").startswith("9.")
    assert root.read(CONFIG) == "{ /* mine */ }"
    assert root.read(CONFIG + ".dpkg-dist").startswith("// a new default\n")
    assert root.read("/var/lib/gavel/kept") == "data"
    assert root.read("/etc/gavel/client_secret") == "key"
    assert root.try_run("systemctl", "is-enabled", "gavel").out.strip() == "disabled"


def test_an_upgrade_brings_a_new_default_to_who_has_not_edited(root, agent, tmp_path):
    root.install(agent)
    root.install(newer(agent, tmp_path, another_default))
    assert root.read(CONFIG).startswith("// a new default\n")
    assert not root.exists(CONFIG + ".dpkg-dist")


def test_removing_keeps_what_purging_takes_away(root, agent):
    kept = ("/var/lib/gavel/kept", "/etc/gavel/client_secret", CONFIG)
    root.install(agent)
    for path in kept[:2]:
        root.write(path, "x")
    root.run("dpkg", "--remove", "gavel")
    assert not root.exists("/usr/bin/gavel")
    assert [path for path in kept if not root.exists(path)] == []
    root.run("dpkg", "--purge", "gavel")
    assert [path for path in kept if root.exists(path)] == []
    assert not root.exists("/var/lib/gavel") and not root.exists("/etc/gavel")
    assert root.status("gavel") == ""
    assert root.try_run("getent", "passwd", "gavel").code == 0, "files elsewhere would lose their owner"
    assert not root.exists("/etc/systemd/system/multi-user.target.wants/gavel.service")


def test_purging_the_agent_leaves_the_sink_alone(root, agent, sink):
    root.install(agent, sink)
    root.write("/var/lib/gavel-sink/kept", "x")
    root.run("dpkg", "--purge", "gavel")
    assert root.read("/var/lib/gavel-sink/kept") == "x"
    assert root.exists("/etc/gavel/gavel-sink.json")


def test_the_other_processors_package_takes_over_with_all_data(root, agent, tmp_path):
    root.install(agent)
    root.write(CONFIG, "{ /* mine */ }")
    root.write("/var/lib/gavel/kept", "x")

    def other_name(tree):
        control = tree / "DEBIAN" / "control"
        control.write_text(control.read_text().replace("Package: gavel\n", "Package: gavel-armv6\n"
                                                       "Conflicts: gavel\nReplaces: gavel\n"))
    root.install(newer(agent, tmp_path, other_name))
    assert root.status("gavel-armv6") == "ii" and root.status("gavel") != "ii"
    assert root.read(CONFIG) == "{ /* mine */ }"
    assert root.read("/var/lib/gavel/kept") == "x"
