"""A machine to install packages on: this one's own files below a layer that is thrown away.

Root is such a file system, Booted is one with systemd running in it (systemd-nspawn). Both need root and
overlayfs; why_not() says what is missing. Nothing here waits for a fixed time.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

BOOT_S = 120
POLL_S = 0.1


def why_not():
    """None, or why there can be no such machine here."""
    if os.geteuid() != 0:
        return "installing packages into a root of its own needs root"
    if shutil.which("nsenter") is None:
        return "nsenter is missing"
    probe = subprocess.run(["unshare", "--mount", "sh", "-c", MOUNT, "sh", tempfile.gettempdir()],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return None if probe.returncode == 0 else "no overlay file system: " + probe.stderr.strip()


# $1: an empty directory; the layers are in memory and vanish with the mount namespace.
MOUNT = """set -e
mount -t tmpfs gavel-test "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" "$1/root"
"""
HOLD = """mount --bind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
echo ready
exec sleep infinity
"""
# On a machine that is itself an image, nothing may start services; here they are wanted.
ALLOW = """rm -f "$1/root/usr/sbin/policy-rc.d"
shift
exec "$@"
"""


def until(condition, what, deadline_s):
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "within %d s it did not happen: %s" % (deadline_s, what)
        time.sleep(POLL_S)


class Done:
    """What became of a command."""

    def __init__(self, done):
        self.code, self.out, self.text = done.returncode, done.stdout, done.stdout + done.stderr


class Machine:
    enter = []

    def try_run(self, *words, **more):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                       "DEBIAN_FRONTEND": "noninteractive"}
        return Done(subprocess.run([*self.enter, *map(str, words)], stdin=subprocess.DEVNULL,
                                   capture_output=True, text=True, env=environment, **more))

    def run(self, *words):
        """Its standard output; it must succeed."""
        done = self.try_run(*words)
        assert done.code == 0, "%s: exit code %d\n%s" % (" ".join(map(str, words)), done.code, done.text)
        return done.out

    def exists(self, path):
        return self.try_run("test", "-e", path).code == 0

    def read(self, path):
        return self.run("cat", path)

    def write(self, path, text):
        self.run("sh", "-c", 'printf %s "$2" > "$1"', "sh", path, text)

    def mode(self, path):
        return self.run("stat", "-c", "%U:%G %a", path).strip()

    def install(self, *packages):
        return self.run("dpkg", "--force-confdef", "--force-confold", "-i", *packages)

    def status(self, package):
        done = self.try_run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", package)
        return done.out.strip() if done.code == 0 else ""


class Root(Machine):
    def __init__(self, directory):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", MOUNT + HOLD, "sh", str(directory)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the root could not be mounted"
        self.enter = ["nsenter", "--mount", "--target", str(self.process.pid),
                      "chroot", str(pathlib.Path(directory) / "root")]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Booted(Machine):
    """With systemd as its first process, and this machine's network."""

    def __init__(self, directory, bind=()):
        root = pathlib.Path(directory) / "root"
        binds = ["--bind-ro=%s" % path for path in bind]
        command = ["systemd-nspawn", "--quiet", "--directory", root, "--machine=gavel-test-%d" % os.getpid(),
                   "--register=no", "--keep-unit", "--console=pipe", *binds, "--boot",
                   "systemd.firstboot=off", "systemd.mask=systemd-networkd.service"]
        self.log = open(pathlib.Path(directory).parent / "boot.log", "w+b")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", MOUNT + ALLOW, "sh", str(directory),
             *map(str, command)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        first = until(self.first_process, "a first process", BOOT_S)
        self.enter = ["nsenter", "--all", "--target", first]
        until(self.is_up, "systemd is up", BOOT_S)

    def first_process(self):
        assert self.process.poll() is None, self.said()
        path = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
        for child in pathlib.Path(path).read_text().split():
            status = pathlib.Path("/proc/%s/status" % child).read_text()
            if "\nNSpid:\t%s\t1\n" % child in status:
                return child
        return None

    def is_up(self):
        assert self.process.poll() is None, self.said()
        return self.try_run("systemctl", "is-system-running").out.strip() in ("running", "degraded")

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-3000:]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
