#!/usr/bin/env python3
"""What an auction costs a board: instructions of the whole agent, counted in an emulator, and an estimate in time.

The shipped programs (toolchains/build TARGET --no-tls) fetch two generated bodies over HTTPS, gzipped, and
forward them to the broker that GAVEL_KAFKA and GAVEL_REGISTRY_URL name, or to gavel-embedded's mock broker. The slope
between the bodies is the cost of an auction; what is left is the start, with its TLS handshakes. All threads are
counted, the kernel is not. The API's server lets the client choose the cipher, which is ChaCha20; with --aes it
takes AES, which is dearer on processors without instructions for it: every Raspberry Pi before the 5 (but qemu's
Cortex-A53 has them, so that arm64 looks too good then). amd64 is the same program on this machine's kind of
processor.

The time is computed, not measured: instructions / (clock * instructions per cycle). What is assumed is printed.

usage: instructions.py [--sizes 2M 12M] [--aes] [TARGET...]        needs: toolchains/install-packages cross instructions
"""
import argparse
import subprocess
import tempfile
from pathlib import Path

from agent import FIRST_REALM, TOP, Broker, StandIn, logged, run_gavel, write_config

# The processor that qemu plays.
EMULATORS = {"arm64": ["qemu-aarch64", "-cpu", "cortex-a53"], "armhf": ["qemu-arm", "-cpu", "cortex-a7"],
             "armv6": ["qemu-arm", "-cpu", "arm1176"], "amd64": ["qemu-x86_64"]}
BASELINE = "amd64"

# Clock: Raspberry Pi's documentation ("Processors", product pages). Instructions that a core can begin in one
# cycle at best: Arm's Technical Reference Manuals (ARM1176JZF-S DDI 0301, Cortex-A53 DDI 0500, Cortex-A72 100095).
BOARDS = (("Zero, Zero W", "armv6", 1000, 1), ("Zero 2 W", "arm64", 1000, 2),
          ("3 B", "arm64", 1200, 2), ("4 B", "arm64", 1500, 3))
ASSUMED_PER_CYCLE = 0.5
# The least that we found published for such a board: an ARM1176 that waits for its memory nearly all the time
# (sandsoftwaresound.net, rpistat: textbook matrix multiplication, 9.5 cycles an instruction).
LEAST_PER_CYCLE = 0.1
REALM = 72_600  # auctions of a large realm in a recorded snapshot


def build_plugin(directory):
    plugin = directory / "count_instructions.so"
    subprocess.run(["gcc", "-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-o", plugin,
                    Path(__file__).with_name("count_instructions.c")], check=True)
    return plugin


class Counter:
    def __init__(self, api, broker, scratch):
        self.api, self.broker, self.scratch = api, broker, scratch
        self.plugin = build_plugin(scratch)

    def run(self, target, realm):
        """(records, instructions) of one pass over that realm's body."""
        out, config = self.scratch / "count", self.scratch / "gavel.json"
        gavel = TOP / "build" / target / "bin" / "gavel"
        if not gavel.exists():
            raise SystemExit(f"instructions.py: {gavel} is not there: toolchains/build {target} --no-tls")
        with tempfile.TemporaryDirectory(dir=self.scratch) as state:
            write_config(config, self.api, self.broker, [realm], state_dir=state)
            text, _ = run_gavel([*EMULATORS[target], "-plugin", f"{self.plugin},out={out}", gavel], config)
        return logged(text, "stopped")["records_acked"], int(out.read_text())


def measure(counter, target):
    """Instructions of an auction, and of the start."""
    (few, low), (many, high) = (counter.run(target, FIRST_REALM + i) for i in range(2))
    each = (high - low) / (many - few)
    print(f"{target:<8}{each:>10,.0f} an auction{low - few * each:>16,.0f} for the start"
          f"   (bodies of {few:,} and {many:,})", flush=True)
    return each, low - few * each


def report_times(cost):
    print(f"\nestimated time of a snapshot of {REALM:,} auctions, start included, on one core; assumed: the clock and "
          f"{ASSUMED_PER_CYCLE}\ninstructions a cycle. In brackets: as many as the core can begin, and {LEAST_PER_CYCLE}, "
          "as if it waited for its memory nearly all\nthe time")
    for board, target, mhz, widest in BOARDS:
        if target not in cost:
            continue
        each, start = cost[target]
        assumed, best, worst = ((REALM * each + start) / (mhz * 1e6 * per_cycle)
                                for per_cycle in (ASSUMED_PER_CYCLE, widest, LEAST_PER_CYCLE))
        print(f"{board:<14}{target:<7}{mhz:>5} MHz{assumed:>7.1f} s  ({best:.1f} to {worst:.1f})"
              f"{REALM / assumed:>10,.0f} auctions/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=TOP / "build" / "host", help="of gavel-embedded")
    parser.add_argument("--sizes", nargs=2, default=["2M", "12M"])
    parser.add_argument("--aes", action="store_true", help="the server chooses the cipher")
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=["arm64", "armv6"])
    args = parser.parse_args()
    args.build = args.build.resolve()
    series = [word for i, size in enumerate(args.sizes)
              for word in ("--generate", f"eu-{FIRST_REALM + i}:{size}")]
    series += [] if args.aes else ["--clients-cipher"]
    kept = TOP / "build" / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    cost = {}
    with tempfile.TemporaryDirectory() as scratch, Broker(args.build) as broker, \
            StandIn(kept / "standin", *series) as api:
        print(f"broker: {'real, ' + broker.brokers if broker.real else 'embedded mock'}; "
              f"cipher: {'AES' if args.aes else 'ChaCha20'}")
        counter = Counter(api, broker, Path(scratch))
        for target in [BASELINE] + [each for each in args.targets if each != BASELINE]:
            cost[target] = measure(counter, target)
    report_times(cost)


if __name__ == "__main__":
    main()
