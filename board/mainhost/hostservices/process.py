"""Processes that outlive this program: started in the background, found again by a record on disk.

A pid alone may by now belong to somebody else, so the record also holds the process's start time and
the machine's boot id; a process is ours only while all three agree. Only such a process gets a signal.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .common import MIB, write_whole

LOG_MAX_BYTES = 10 * MIB
POLL_S = 0.05


def boot_id():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid):
    """When the process started, in clock ticks since boot; None when there is none, or a dead one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before it may hold spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])


class Process:
    """One background process, recorded in directory/process.json, its output in directory/log."""

    def __init__(self, directory):
        self.directory = directory
        self.record_path = directory / "process.json"
        self.log = directory / "log"
        self.child = None

    def record(self):
        try:
            return json.loads(self.record_path.read_text())
        except (OSError, ValueError):
            return None

    def pid(self):
        """The pid while the recorded process runs, else None."""
        record = self.record()
        if not record or record["boot_id"] != boot_id():
            return None
        if self.child:
            self.child.poll()  # a child that died is a zombie until it is asked for
        started = start_ticks(record["pid"])
        return record["pid"] if started is not None and started == record["start_ticks"] else None

    def start(self, command, details):
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            self.log.replace(self.directory / "log.old")
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        record = dict(
            details,
            pid=self.child.pid,
            start_ticks=start_ticks(self.child.pid),
            boot_id=boot_id(),
            command=[str(word) for word in command],
        )
        write_whole(self.record_path, json.dumps(record, indent=1) + "\n")

    def end(self, how=signal.SIGTERM, patience_s=20):
        """Signals the process and waits for its end; one that does not end in time is killed.
        Returns None when nothing ran, else how it ended."""
        pid = self.pid()
        if pid is None:
            self.record_path.unlink(missing_ok=True)
            return None
        os.kill(pid, how)
        ended = "killed" if how == signal.SIGKILL else "stopped"
        if not self._gone_within(patience_s):
            os.kill(pid, signal.SIGKILL)
            ended = f"killed, as it did not end within {patience_s} s"
            self._gone_within(patience_s)
        self.record_path.unlink(missing_ok=True)
        return ended

    def _gone_within(self, seconds):
        deadline = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def memory_mib(self):
        pid = self.pid()
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) // 1024
        except OSError:
            pass
        return 0
