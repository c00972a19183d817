#!/usr/bin/env python3
"""Makes auction snapshots in the game API's form: any size, any hour, same bytes for the same seed.

A snapshot is a row of slots. A slot holds one auction after another: each is listed in some hour,
lives a number of hours, and the next one takes its place. What a slot holds in an hour is computed
from (seed, slot, hour) alone, so a body of any size is made in constant memory, hour 7 needs no
hour 6, and two neighbouring hours share about 94 % of their ids. Only hashlib and whole numbers
are used: the bytes are the same on every Python from 3.9 on, on every machine.
Two realms of one kind have other auctions, under ids that may be equal, as in life.

  generate.py body --kind realm --region eu --realm 604 --records 2000 --hour 0 --out body.json
  generate.py hours --hours 3 --out DIR        snapshot files DIR/eu-604-20140701T003001Z.json.gz ...
"""
import argparse
import gzip
import hashlib
import itertools
import json
import os
import re
import struct
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

from adversary import Adversary

KINDS = ("realm", "classic", "commodities")
HOUSES = {2: "Alliance Auction House", 6: "Horde Auction House", 7: "Blackwater Auction House"}
FIRST_HOUR = datetime(2014, 7, 1, 0, 30, 1, tzinfo=timezone.utc)

MASK64 = (1 << 64) - 1
CHUNK_SLOTS = 1024
ID_BITS = 22                      # slots 0..2^22-1 share an id range per listing hour
ID_BASE = 100_000_000
LONGEST_LIFE_HOURS = 48
MAX_PRICE = 50_000_000_000
MAX_SEED = 4_294_019_297
PET_CAGE = 82800

# (share of 1024 slots, hours until the next auction takes the slot, listed for so many half hours).
# Sold or cancelled auctions leave before their time is up. The mix gives the shares of time_left
# seen in recordings (VERY_LONG 65 %, LONG 31 %, MEDIUM 3.6 %, SHORT 0.7 %) and 94 % survivors.
LIVES = ((410, 48, 96), (133, 24, 48), (174, 11, 24), (292, 10, 96), (15, 8, 24))
# time_left by half hours that remain, rounded up
TIME_LEFT = ["SHORT"] * 2 + ["MEDIUM"] * 3 + ["LONG"] * 20 + ["VERY_LONG"] * 72


class Draws:
    """A stream of random whole numbers that depends on its key only (SplitMix64)."""

    def __init__(self, key):
        self.state = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")

    def bits64(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        x = self.state
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
        return x ^ (x >> 31)

    def between(self, low, high):
        return low + self.bits64() % (high - low + 1)

    def shuffled(self, items):
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.between(0, i)
            items[i], items[j] = items[j], items[i]
        return items

    def flags(self, per_mille):
        """Endless booleans, per_mille of them true in every thousand, in random order."""
        while True:
            yield from self.shuffled([True] * per_mille + [False] * (1000 - per_mille))

    def price(self, least_bits, most_bits):
        """Spread over magnitudes as prices are: each power of two as likely as its neighbour."""
        exponent = self.between(least_bits, most_bits)
        return min((1 << exponent) + self.bits64() % (1 << exponent), MAX_PRICE - 100)


def retail_items(key, count=8192):
    """JSON text of the item member: context 90 %, bonus_lists 73 %, modifiers 85 %, pets 12 %."""
    draw = Draws(key + "/items")
    context, bonus = draw.flags(900), draw.flags(730)
    modifiers, pet = draw.flags(850), draw.flags(120)
    items = []
    for _ in range(count):
        is_pet = next(pet)
        item = {"id": PET_CAGE if is_pet else draw.between(2000, 220_000)}
        if next(context):
            item["context"] = draw.between(0, 120)
        if next(bonus):
            item["bonus_lists"] = [draw.between(1, 12_500) for _ in range(draw.between(1, 7))]
        if next(modifiers):
            item["modifiers"] = retail_modifiers(draw, is_pet)
        if is_pet:
            item["pet_breed_id"] = draw.between(3, 22)
            item["pet_level"] = draw.between(1, 25)
            item["pet_quality_id"] = draw.between(0, 5)
            item["pet_species_id"] = draw.between(39, 4600)
        items.append(json.dumps(item, separators=(",", ":")))
    return items


def retail_modifiers(draw, is_pet):
    if is_pet:
        return [{"type": 6, "value": draw.between(1, 50_331_670)}]
    largest = {6: 95_174, 9: 90, 28: 3_100, 29: 49, 30: 49}
    types = sorted(draw.shuffled(largest)[:draw.between(1, 4)])
    return [{"type": t, "value": draw.between(1, largest[t])} for t in types]


def classic_items(key, count=4096):
    """JSON text with a %d for the seed in most: seed 97 %, rand 9 %, pets 3 %."""
    draw = Draws(key + "/items")
    rand, seed, pet = draw.flags(90), draw.flags(970), draw.flags(30)
    items = []
    for _ in range(count):
        is_pet = next(pet)
        text = '{"id":%d' % (PET_CAGE if is_pet else draw.between(25, 110_000))
        if is_pet:
            text += ',"pet_breed_id":%d,"pet_level":%d' % (draw.between(3, 22), draw.between(1, 25))
            text += ',"pet_quality_id":%d' % draw.between(0, 5)
            text += ',"pet_species_id":%d' % draw.between(39, 1500)
        if next(rand):
            text += ',"rand":%d' % draw.between(-160, 2160)
        if next(seed):
            text += ',"seed":%d'
        items.append(text + "}")
    return items


def slots(key, hour):
    """Chunks of (id, age in hours, time_left, 64 random bits of this auction), one per slot."""
    lives = [(cycle, life) for share, cycle, life in LIVES for _ in range(share)]
    draw = Draws(key + "/ids")
    step, offset = draw.bits64() | 1, draw.bits64()
    mask = (1 << ID_BITS) - 1
    time_left = TIME_LEFT
    for chunk in itertools.count():
        seed = ("%s/slots/%d" % (key, chunk)).encode()
        raw = hashlib.shake_256(seed).digest(8 * CHUNK_SLOTS)
        out = []
        for slot, bits in enumerate(struct.unpack("<%dQ" % CHUNK_SLOTS, raw), chunk * CHUNK_SLOTS):
            cycle, life = lives[bits & 1023]
            age = (hour + (bits >> 10 & 4095)) % cycle
            listed = hour - age + LONGEST_LIFE_HOURS
            x = slot * step + offset & mask                 # a bijection of the slot numbers,
            x = (x ^ x >> 9) * 0x2C9277B5 & mask            # so ids are unique and not sorted
            auction_id = ID_BASE + (slot >> ID_BITS << 48) + (listed << ID_BITS) + x
            bits_of = (bits ^ listed * 0x9E3779B97F4A7C15) & MASK64
            bits_of = (bits_of ^ bits_of >> 30) * 0xBF58476D1CE4E5B9 & MASK64
            bits_of = (bits_of ^ bits_of >> 27) * 0x94D049BB133111EB & MASK64
            out.append((auction_id, age, time_left[life - 2 * age - (bits >> 22 & 1)],
                        bits_of ^ bits_of >> 31))
        yield out


def realm_records(key, hour):
    items, draw = retail_items(key), Draws(key + "/prices")
    prices = [draw.price(10, 30) for _ in range(4016)] + [draw.price(31, 35) for _ in range(80)]
    quantities = [1] * 240 + [draw.between(2, 200) for _ in range(16)]
    for chunk in slots(key, hour):
        out = []
        for auction_id, age, left, bits in chunk:
            item = items[bits >> 2 & (8191 if bits & 3 else 511)]
            price = prices[bits >> 16 & 4095]
            price = (price - (price >> 10) * (bits >> 28 & 511)) // 100 * 100 + 100
            quantity = quantities[bits >> 40 & 255]
            kind = bits >> 50 & 1023
            if kind >= 61:                                   # 6 % carry a bid
                money = '"buyout":%d' % price
            else:
                bid = price // 2
                if kind & 3 == 0 and age > (bits >> 60):     # few are outbid while they live
                    bid += bid // 20 + 1
                # a tenth of those that carry a bid have no buyout
                money = '"bid":%d' % bid if kind < 6 else '"bid":%d,"buyout":%d' % (bid, price)
            out.append('{"id":%d,"item":%s,%s,"quantity":%d,"time_left":"%s"}'
                       % (auction_id, item, money, quantity, left))
        yield out


def classic_records(key, hour):
    items, draw = classic_items(key), Draws(key + "/prices")
    prices = [draw.price(6, 30) for _ in range(4096)]
    quantities = [1] * 180 + [20] * 40 + [draw.between(2, 19) for _ in range(36)]
    for chunk in slots(key, hour):
        out = []
        for auction_id, age, left, bits in chunk:
            item = items[bits >> 2 & 4095]
            if item.endswith("%d}"):
                item = item % ((bits * 0xD6E8FEB86659FD93 >> 20 & 0xFFFFFFFF) % (MAX_SEED + 1))
            price = prices[bits >> 16 & 4095]
            price -= (price >> 10) * (bits >> 28 & 511)
            bid = price - price // 20
            kind = bits >> 50 & 1023
            if kind & 63 == 0 and age > (bits >> 60):
                bid += (price - bid) // 2
            # 0.5 % have no buyout
            money = '"bid":%d' % bid if kind < 5 else '"bid":%d,"buyout":%d' % (bid, price)
            out.append('{"id":%d,"item":%s,%s,"quantity":%d,"time_left":"%s"}'
                       % (auction_id, item, money, quantities[bits >> 40 & 255], left))
        yield out


def commodity_records(key, hour):
    draw = Draws(key + "/items")
    items = [draw.between(700, 220_000) for _ in range(8192)]
    prices = [draw.price(7, 26) for _ in range(4084)] + [draw.price(27, 35) for _ in range(12)]
    quantities = [1] * 300 + [20_201] + [draw.between(2, 200) for _ in range(650)]
    quantities += [draw.between(201, 20_000) for _ in range(73)]
    for chunk in slots(key, hour):
        out = []
        for auction_id, _, left, bits in chunk:
            price = prices[bits >> 16 & 4095]
            price = (price - (price >> 10) * (bits >> 28 & 511)) // 100 * 100 + 100
            out.append('{"id":%d,"item":{"id":%d},"quantity":%d,"unit_price":%d,"time_left":"%s"}'
                       % (auction_id, items[bits >> 2 & (8191 if bits & 3 else 255)],
                          quantities[bits >> 40 & 1023], price, left))
        yield out


RECORDS = {"realm": realm_records, "classic": classic_records, "commodities": commodity_records}


def envelope(kind, region, realm, house, namespace=None):
    """The text before the first record and after the last."""
    namespace = namespace or ("dynamic-classic-" if kind == "classic" else "dynamic-") + region
    api = "https://%s.api.blizzard.com/data/wow" % region

    def href(path):
        return '{"href":"%s%s?namespace=%s"}' % (api, path, namespace)

    if kind == "commodities":
        return '{"_links":{"self":%s},"auctions":[' % href("/auctions/commodities"), "]}"
    own = "/connected-realm/%d" % realm
    self_path = own + ("/auctions/%d" % house if kind == "classic" else "/auctions")
    head = '{"_links":{"self":%s},"connected_realm":%s,"auctions":[' % (href(self_path), href(own))
    if kind == "classic":
        return head, '],"id":%d,"name":"%s"}' % (house, HOUSES[house])
    return head, '],"commodities":%s}' % href("/auctions/commodities")


def body(kind, region="eu", realm=604, house=2, records=None, size_bytes=None, hour=0, seed=1,
         namespace=None, adversary=None, counts=None):
    """Yields the body as pieces of bytes. Give records (exact) or size_bytes (reached, not passed
    by more than a record). counts, a Counter, is told how many records of which sort were made."""
    if kind not in KINDS or (records is None) == (size_bytes is None) or hour < 0:
        raise ValueError("kind is one of %s, hour >= 0, records or size_bytes" % (KINDS,))
    counts = Counter() if counts is None else counts
    key = "/".join(map(str, (seed, kind, region, 0 if kind == "commodities" else realm,
                             house if kind == "classic" else 0)))
    head, tail = envelope(kind, region, realm, house, namespace)
    yield head.encode()
    room = None if size_bytes is None else max(0, size_bytes - len(head) - len(tail))
    comma = b""
    for chunk in RECORDS[kind](key, hour):
        if records is not None:
            chunk = chunk[:records]
            records -= len(chunk)
        counts["auctions"] += len(chunk)
        if adversary:
            chunk = adversary.spoil(chunk, counts)
        data = ",".join(chunk).encode("utf-8", "surrogateescape")
        if room is not None:
            if len(data) + 1 >= room:
                kept = data.find(b'"},{"id":', max(0, room - 1))
                if kept >= 0 and not adversary:
                    counts["auctions"] -= data.count(b'},{"id":', kept)
                    data = data[:kept + 2]
                room = 0
            room = max(0, room - len(data) - 1)
        if data:
            yield comma + data
            comma = b","
        if records == 0 or room == 0:
            break
    yield tail.encode()


def snapshot_name(kind, region, realm, house, hour):
    stamp = (FIRST_HOUR + timedelta(hours=hour)).strftime("%Y%m%dT%H%M%SZ")
    whose = {"realm": str(realm), "classic": "%d-%d" % (realm, house), "commodities": kind}[kind]
    return "%s-%s-%s.json.gz" % (region, whose, stamp)


def write_gz(path, pieces, level=9):
    """Atomically; no name and no time in the header, so that equal input gives equal bytes."""
    partial = "%s.%d.part" % (path, os.getpid())
    with open(partial, "wb") as raw:
        with gzip.GzipFile("", "wb", level, raw, mtime=0) as out:
            for piece in pieces:
                out.write(piece)
    os.replace(partial, path)


# The committed sample: `generate.py hours --out tests/data/sample` with nothing else.
SAMPLE = dict(region="eu", realm=604, classic_realm=4440, house=2, hours=3, seed=1,
              records=1500, classic_records=500, commodity_records=1000)


def snapshots(region, realm, classic_realm, house, hours, seed, records, classic_records,
              commodity_records):
    """Yields (file name, body) of consecutive hours; the number of records varies with the hour."""
    plan = (("realm", realm, records), ("classic", classic_realm, classic_records),
            ("commodities", 0, commodity_records))
    for hour in range(hours):
        for kind, number, count in plan:
            if count:
                count -= Draws("%d/%s/%d" % (seed, kind, hour)).between(0, count // 100)
                yield (snapshot_name(kind, region, number, house, hour),
                       body(kind, region, number, house, count, hour=hour, seed=seed))


def parse_size(text):
    """50M and 300k are decimal, as sizes of downloads are."""
    match = re.fullmatch(r"(\d+)([kMG]?)B?", text)
    if not match:
        raise argparse.ArgumentTypeError("a size is a number with k, M or G: %r" % text)
    return int(match[1]) * {"": 1, "k": 1000, "M": 10**6, "G": 10**9}[match[2]]


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("body", help="one body, as JSON or (--out *.gz) gzipped")
    one.add_argument("--kind", choices=KINDS, default="realm")
    one.add_argument("--region", default="eu")
    one.add_argument("--realm", type=int, default=604)
    one.add_argument("--house", type=int, choices=sorted(HOUSES), default=2)
    one.add_argument("--namespace", help="default dynamic-REGION, Classic dynamic-classic-REGION")
    size = one.add_mutually_exclusive_group()
    size.add_argument("--records", type=int)
    size.add_argument("--bytes", type=parse_size, metavar="SIZE", help="such as 50M")
    one.add_argument("--hour", type=int, default=0)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--out", help="default: standard output")
    one.add_argument("--counts", metavar="FILE",
                     help="write how many records of which sort were made")
    Adversary.add_arguments(one, parse_size)

    many = commands.add_parser("hours", help="consecutive snapshots: realm, house, commodities")
    many.add_argument("--out", required=True, metavar="DIR")
    for name, value in SAMPLE.items():
        many.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    if args.command == "hours":
        os.makedirs(args.out, exist_ok=True)
        for name, pieces in snapshots(**{key: getattr(args, key) for key in SAMPLE}):
            write_gz(os.path.join(args.out, name), pieces)
            print(os.path.join(args.out, name))
        return
    counts = Counter()
    records = 1000 if args.records is None and args.bytes is None else args.records
    pieces = body(args.kind, args.region, args.realm, args.house, records, args.bytes, args.hour,
                  args.seed, args.namespace, Adversary.from_arguments(args), counts)
    if args.out and args.out.endswith(".gz"):
        write_gz(args.out, pieces)
    else:
        with (open(args.out, "wb") if args.out else os.fdopen(1, "wb", closefd=False)) as out:
            for piece in pieces:
                out.write(piece)
    if args.counts:
        with open(args.counts, "w", encoding="utf-8") as out:
            json.dump(counts, out, indent=1, sort_keys=True)


if __name__ == "__main__":
    sys.exit(main())
