"""A whole board in an emulator: Debian's kernel, systemd and the agent as its package installs it.

GAVEL_MACHINE=virt (default) is a board that only qemu knows, with the processor and the memory of a Pi Zero 2 W;
raspi3b is a Pi 3: its SD card, its USB network and its serial port, with 1 GiB. (qemu resets that one as soon as
its watchdog is started, so that test is for virt.) qemu's SD card tells of no cache, so the kernel flushes nothing,
and what the card has taken in must stay there: only what the kernel still had is lost with the power.

The disk of virt has a write cache that a power cut empties. qemu writes data that the guest has not flushed into
its file, from which killing qemu does not take it away again; so the disk of each boot is a new qcow2 layer,
whose table says where the data are. With cache=writeback it is in qemu's memory until the guest flushes, and
dies with it: what was written to a new place but not flushed is not there after the cut. Clusters are so large
that there is one table: a second one would flush the first. (cache=none or directsync would be kinder: with
them, all that reached the disk stays.) What the guest's own kernel had not yet written is lost anyway. Mounted
with barrier=0, that is without flushes, the card forgets all of it, and the test fails.

The network is qemu's own: the guest reaches this machine's loopback as 10.0.2.2. Services say that they are
at 127.0.0.1, also in certificates and in Kafka's metadata, so on the board systemd passes their ports on.
"""
import json
import os
import shutil
import socket
import subprocess
import time
from urllib.parse import urlsplit

from gavel_env import TOP, Program, merged

IMAGE = TOP / "build" / "emulator"
WATCHDOG = TOP / "board" / "packaging" / "gavel" / "watchdog.conf"
BOOT_S = 300
CARD_BYTES = "2G"  # a Pi's card has a power of two
HOST = "10.0.2.2"
HANG_PORT = 9
# What differs between the machines; "card" and "net" are what they are connected to.
CARD = "id=card,file=%s,format=qcow2,l2-cache-size=16M"
MACHINES = {
    "virt": ["-M", "virt", "-cpu", "cortex-a53", "-m", "512", "-device", "i6300esb",
             "-drive", "if=none,cache=writeback," + CARD, "-device", "virtio-blk-device,drive=card",
             "-device", "virtio-net-device,netdev=net", "-serial", "chardev:console"],
    "raspi3b": ["-M", "raspi3b", "-dtb", str(IMAGE / "kernel" / "board.dtb"),
                "-drive", "if=sd,cache=writethrough," + CARD, "-device", "usb-net,netdev=net",
                "-serial", "null", "-serial", "chardev:console"]}
CONSOLES = {"virt": "ttyAMA0", "raspi3b": "ttyS1"}
MACHINE = os.environ.get("GAVEL_MACHINE", "virt")
# As a person would have it; the rest is World's.
INSTALLED = {
    "state_dir": None,
    "api": {"client_id": "credential:client_id", "client_secret": "credential:client_secret",
            "ca_file": "/etc/gavel/api-ca.pem", "stall_timeout_ms": 30000}}


def port_of(address):
    return urlsplit(address if "//" in address else "//" + address).port


class Board:
    def __init__(self, world, card_options):
        self.world, self.card_options = world, card_options
        self.directory = world.directory / "board"
        self.directory.mkdir()
        self.disk, self.boots, self.program = IMAGE / "disk.img", 0, None
        self.hang_port = None  # of this machine, for a board that can be made to hang

    # --- what the card has besides the package
    def seed(self):
        """The initial RAM disk with the configuration."""
        world, tree = self.world, self.directory / "seed"
        config, units = tree / "seed/etc/gavel", tree / "seed/etc/systemd/system"
        for directory in (config, units / "sockets.target.wants"):
            directory.mkdir(parents=True)
        (config / "gavel.json").write_text(json.dumps(
            merged(merged(world.defaults(), world.settings), INSTALLED)))
        shutil.copy(world.api.ca, config / "api-ca.pem")
        for secret in ("client_id", "client_secret"):
            (config / secret).write_text(world.api.about[secret])
            (config / secret).chmod(0o600)
        for address in (world.api.base_url, world.services.kafka, world.services.registry):
            self.pass_on(units, port_of(address))
        if self.hang_port:
            self.seed_watchdog(tree / "seed", units)
        names = subprocess.run(["find", "seed"], cwd=tree, check=True, capture_output=True).stdout
        archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names,
                                 check=True, capture_output=True).stdout
        path = self.directory / "initrd"
        path.write_bytes(archive + (IMAGE / "initrd.gz").read_bytes())
        return path

    def start_on_connect(self, units, name, address, command):
        unit = units / (name + ".socket")
        unit.write_text("[Socket]\nListenStream=%s\n" % address)
        unit.with_suffix(".service").write_text("[Service]\nExecStart=%s\n" % command)
        (units / "sockets.target.wants" / unit.name).symlink_to(unit.name)

    def pass_on(self, units, port):
        self.start_on_connect(units, "pass-on-%d" % port, "127.0.0.1:%d" % port,
                              "/lib/systemd/systemd-socket-proxyd %s:%d" % (HOST, port))

    # --- its watchdog
    def use_watchdog(self):
        """Before the first start: as the manual has it, and systemd crashes when it is told to hang."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.hang_port = free.getsockname()[1]

    def seed_watchdog(self, seed, units):
        directory = seed / "etc/systemd/system.conf.d"
        directory.mkdir()
        shutil.copy(WATCHDOG, directory / "gavel-watchdog.conf")
        self.start_on_connect(units, "hang", "%d" % HANG_PORT, "/bin/sh -c 'kill -SEGV 1'")

    def hang(self):
        """systemd stands still from now on; everything else goes on."""
        socket.create_connection(("127.0.0.1", self.hang_port)).close()
        self.wait_said("Freezing execution")

    def wait_reset(self, deadline_s):
        """qemu ends when the board is reset; what it has said until then."""
        assert self.program.wait(deadline_s) == 0, self.program.log()[-3000:]
        return self.program.log()

    # --- power
    def start(self):
        if not self.boots:
            self.initrd = self.seed()
        self.boots += 1
        layer = self.directory / ("disk%d.qcow2" % self.boots)
        below = "qcow2" if self.boots > 1 else "raw"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.disk, "-F", below, "-o",
                        "lazy_refcounts=on,extended_l2=on,cluster_size=256k", layer, CARD_BYTES],
                       check=True)
        self.disk = layer
        forward = ",hostfwd=tcp:127.0.0.1:%d-:%d" % (self.hang_port, HANG_PORT) if self.hang_port else ""
        self.program = Program(
            ["qemu-system-aarch64", "-nodefaults", "-no-reboot", "-display", "none",
             "-chardev", "file,id=console,path=/dev/stderr,append=on",
             *(word.replace(CARD, CARD % layer) for word in MACHINES[MACHINE]),
             "-kernel", IMAGE / "kernel" / "vmlinuz", "-initrd", self.initrd,
             "-append", "console=%s quiet panic=-1 card_options=%s now=%d" % (
                 CONSOLES[MACHINE], self.card_options, time.time()),
             "-netdev", "user,id=net" + forward],
            self.world.directory / ("boot%d.log" % self.boots))
        self.world.programs.append(self.program)

    def cut(self):
        """Without warning; what it has said until then."""
        assert self.program.is_alive(), self.program.log()[-3000:]
        self.program.kill()
        return self.program.log()

    # --- what can be seen from outside
    def wait_said(self, pattern, deadline_s=BOOT_S):
        return self.program.wait_log(pattern, deadline_s=deadline_s)

    def wait_spooled(self, snapshots):
        for snapshot in snapshots:
            self.wait_said(r'msg="snapshot spooled" snapshot=%s ' % snapshot.name)

    def written(self):
        """Bytes that its disk has taken in since it was started."""
        return os.stat(self.disk).st_blocks * 512
