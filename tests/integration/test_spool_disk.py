"""What a disk does to the spool: it fills up, it turns read-only, it brings back other bytes, it is no
directory at all. The agent says so and goes on; what it cannot keep is named.

Some of these mount a file system of their own, and are skipped where that is not permitted.
"""
import copy
import os
import re
import subprocess

import pytest

import witness
from outage import (assert_alive, check_all, frozen, names, segments, serve_hours, show,
                    wait_drained)

FULL, ROOM = "the spool is full and fetching waits", "the spool takes batches again"


class Disk:
    """A file system of its own for the spool."""

    def __init__(self, world):
        self.world, self.path, self.is_there = world, world.state / "spool", False

    def run(self, *words):
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
        return done.returncode == 0, done.stdout.strip() or done.stderr.strip()

    def mount(self, *words):
        self.path.mkdir(parents=True)
        self.is_there, text = self.run("mount", *words, self.path)
        if not self.is_there:
            pytest.skip("nothing can be mounted here: " + text)

    def mount_tmpfs(self, size):
        self.mount("-t", "tmpfs", "-o", "size=" + size, "none")

    def resize(self, size):
        done, text = self.run("mount", "-o", "remount,size=" + size, self.path)
        assert done, text

    def mount_ext4(self, size_bytes):
        image = self.world.directory / "disk"
        with open(image, "wb") as file:
            file.truncate(size_bytes)
        done, text = self.run("mkfs.ext4", "-q", "-O", "^has_journal", image)
        if not done:
            pytest.skip("no ext4 can be made here: " + text)
        self.mount("-o", "loop,errors=remount-ro", image)

    def fail(self):
        """As ext4 does when it has met an error: open files cannot be written any more either."""
        device = os.path.basename(self.run("findmnt", "-no", "SOURCE", self.path)[1])
        with open("/sys/fs/ext4/%s/trigger_fs_error" % device, "w") as file:
            file.write("1")

    def close(self):
        if not self.is_there:
            return
        for program in self.world.programs:
            if program.is_alive():
                program.kill()
        done, text = self.run("umount", self.path)
        assert done, text


@pytest.fixture
def disk(world):
    own = Disk(world)
    yield own
    own.close()


def show_until(world, agent, hours, first, pattern):
    """Shows hour after hour until the log says it; the number of the hour that it happened in."""
    for hour in range(first, len(hours)):
        since = agent.mark()
        world.api.control(hour=hour)
        found = agent.wait_log(r'%s|msg="snapshot spooled" snapshot=%s ' % (
            pattern, hours[hour][0].name), since)
        if re.match(pattern, found[0]):
            return hour
    raise AssertionError("%d hours did not make it say %r" % (len(hours), pattern))


def test_a_full_disk_stops_fetching_until_there_is_room_or_a_broker(world, disk):
    hours = serve_hours(world, 2500, 12)
    disk.mount_tmpfs("448k")
    agent = world.agent()
    show(world, agent, hours[0], "forwarded|spooled", 0)
    with frozen(world.services, "kafka"):
        first = show_until(world, agent, hours, 1, FULL)
        assert_alive(agent)
        disk.resize("832k")
        agent.wait_log(ROOM)
        show(world, agent, hours[first])
        since = agent.mark()
        last = show_until(world, agent, hours, first + 1, FULL)
        assert last > first + 1
    agent.wait_log(ROOM, since)
    show(world, agent, hours[last], "spooled|forwarded")
    show(world, agent, hours[last + 1], "spooled|forwarded", last + 1)
    wait_drained(world, agent)
    assert agent.stop() == 0
    world.load()
    check_all(world, sum(hours[:last + 2], []), resent=True)


def test_a_disk_that_turns_read_only_costs_nothing(world, disk):
    hours = serve_hours(world, 2500, 4)
    disk.mount_ext4(4 << 20)
    agent = world.agent()
    show(world, agent, hours[0], "forwarded|spooled", 0)
    with frozen(world.services, "kafka"):
        show(world, agent, hours[1], "spooled", 1)
        disk.fail()
        world.api.control(hour=2)
        agent.wait_log(FULL + ".*Read-only file system")
        assert_alive(agent)
    show(world, agent, hours[2], "forwarded")
    agent.wait_log("batches go straight to the broker again")
    assert agent.stop() == 0
    # It cannot even be locked now.
    world.api.control(hour=3)
    world.once()
    world.load()
    check_all(world, sum(hours, []), resent=True)


# --- giving way ---------------------------------------------------------------------------------------

def found_in_raw(world, snapshots):
    """The snapshots as far as they are in the raw topic."""
    registry, places = witness.Registry(world.services.registry), set()
    for message in witness.messages(world.services.kafka, world.raw):
        record = registry.decode(message.value())[1]
        places.add((record["realm"], record["snapshot_at"].timestamp(), record["position"]))
    parts = []
    for snapshot in snapshots:
        part = copy.copy(snapshot)
        part.records = [r for r in snapshot.records
                        if (snapshot.realm, snapshot.time_s, r["position"]) in places]
        parts.append(part)
    return parts


@pytest.mark.parametrize("policy", ["drop-oldest-snapshot", "thin"])
def test_what_gives_way_to_the_quota_is_named_and_all_else_is_complete(world, policy):
    hours = serve_hours(world, 2500, 12, quota_mib=1, quarantine_mib=0, policy=policy)
    snapshots = sum(hours, [])
    agent = world.agent()
    show(world, agent, hours[0], "forwarded|spooled", 0)
    with frozen(world.services, "kafka"):
        for hour in range(1, len(hours)):
            show(world, agent, hours[hour], "spooled", hour)
    wait_drained(world, agent)
    assert agent.stop() == 0
    world.load()
    named = re.findall(r"given up for room.* snapshot=(\S+)", agent.log())
    first = [[s.name for s in snapshots].index(name) for name in named[:3]]
    step = 2 if policy == "thin" else 1  # every second hour, or the oldest
    assert first == list(range(first[0], first[0] + 3 * step, step))
    check_gaps(world, snapshots, set(named))


def check_gaps(world, snapshots, named):
    parts = found_in_raw(world, snapshots)
    witness.check_raw_topic(world, parts, resent=True)
    witness.check_documents(world, parts)
    entries, (code, found) = witness.ledger_entries(world), world.audit()
    assert code == 1 and entries.keys() == found.keys() == names(snapshots)
    for snapshot, part in zip(snapshots, parts):
        entry, verdict = entries[snapshot.name], found[snapshot.name]
        lost = len(snapshot.records) - len(part.records)
        if snapshot.name in named:
            assert (entry["state"], entry["records"], entry["reason"]) == ("gap", lost, "quota")
            assert (verdict["state"], verdict["dropped"]) == ("gap", lost) and lost > 0
        else:
            assert (entry["state"], verdict["state"], lost) == ("complete", "complete", 0)


# --- other bytes --------------------------------------------------------------------------------------

def spoil(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 64)


def ranges_of(positions):
    """As verdicts list them."""
    out = []
    for position in sorted(positions):
        if out and out[-1]["last"] == position - 1:
            out[-1]["last"] = position
        else:
            out.append({"first": position, "last": position})
    return out


def test_damage_costs_the_damaged_batch_and_names_what_is_missing(world):
    hours = serve_hours(world, 2000, 6)
    snapshots = sum(hours, [])
    agent = world.agent()
    show(world, agent, hours[0], "forwarded|spooled", 0)
    with frozen(world.services, "kafka"):
        show(world, agent, hours[1], "spooled", 1)
        assert agent.stop() == 0
        (world.state / "spool" / "cursor").write_bytes(b"no cursor")
        agent = world.agent()
        for hour in range(2, len(hours)):
            show(world, agent, hours[hour], "spooled", hour)
        files = segments(world)
        spoil(files[len(files) // 2 + 1], 8192)
    wait_drained(world, agent)
    told = re.search(r"level=error.*batches cannot be read.* records=(\d+)", agent.log())
    assert agent.stop() == 0 and list((world.state / "spool" / "quarantine").iterdir())
    world.load()
    parts = found_in_raw(world, snapshots)
    witness.check_raw_topic(world, parts, resent=True)
    witness.check_documents(world, parts)
    ((whole, part),) = [(s, p) for s, p in zip(snapshots, parts) if len(s.records) > len(p.records)]
    missing = {r["position"] for r in whole.records} - {r["position"] for r in part.records}
    assert len(missing) == int(told[1]) > 1
    found = witness.verdicts(world)
    assert {n for n, v in found.items() if v["state"] == "complete"} == names(snapshots) - {whole.name}
    assert found[whole.name]["state"] == "incomplete"
    assert found[whole.name]["missing"] == {"count": len(missing), "ranges": ranges_of(missing)}


@pytest.mark.parametrize("kind", ["a file", "not permitted"])
def test_a_spool_that_cannot_be_does_not_keep_the_agent_from_its_work(world, kind):
    hours = serve_hours(world, 500, 2)
    path, command = world.state / "spool", []
    world.state.mkdir()
    if kind == "a file":
        path.write_text("in the way")
    else:
        path.mkdir(mode=0)
        if os.geteuid() == 0:  # root may do everything, unless it is told otherwise
            command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    agent = world.agent(wrapper=command)
    agent.wait_log(r'level=error.*no spool')
    show(world, agent, hours[0], "forwarded", 0)
    path.unlink() if kind == "a file" else path.chmod(0o755)
    show(world, agent, hours[1], "forwarded", 1)
    assert agent.stop() == 0
    world.load()
    check_all(world, sum(hours, []))
