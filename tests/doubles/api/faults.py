"""What can go wrong with a reply, by name. A fault is a JSON object; README.md lists the kinds."""
import itertools
import re
import zlib

# Spoil the connection, at some byte of the body
TRANSPORT = ("slow", "stall", "cut", "reset")
# Spoil the snapshot's bytes
CONTENT = ("wrong-realm", "late-connected-realm", "no-auctions", "malformed", "truncated",
           "trailing", "invalid-utf8", "bad-gzip", "huge")
# Replace the reply
REPLY = ("status", "empty", "not-json")
# Token replies only
TOKEN = ("expired",)
KINDS = TRANSPORT + CONTENT + REPLY + TOKEN

OPTIONS = {"kind", "match", "exact", "region", "times", "skip", "status", "retry_after", "after",
           "bytes_per_second", "close_notify", "realm", "at", "count", "fill"}
HTML = (b"<!DOCTYPE html><html><head><title>Maintenance</title></head>"
        b"<body><h1>We'll be back soon!</h1></body></html>")


class Fault:
    def __init__(self, spec):
        unknown = set(spec) - OPTIONS
        if unknown:
            raise ValueError("a fault has no %s; it has %s" % (sorted(unknown), sorted(OPTIONS)))
        self.kind = spec.get("kind")
        self.status = spec.get("status")
        if isinstance(self.kind, int):
            self.kind, self.status = "status", self.kind
        self.kind = str(self.kind).replace("_", "-")
        if self.kind not in KINDS:
            raise ValueError("kind is one of %s, not %r" % (", ".join(KINDS), spec.get("kind")))
        if self.kind == "status" and self.status not in range(400, 600):
            raise ValueError("kind status wants a status from 400 to 599")
        self.match = spec.get("match", "/token" if self.kind in TOKEN else "/data")
        self.exact = spec.get("exact", False)
        self.region = spec.get("region")
        self.left, self.skip = spec.get("times"), spec.get("skip", 0)
        self.retry_after = spec.get("retry_after")
        self.after, self.at = spec.get("after"), spec.get("at")
        self.bytes_per_second = spec.get("bytes_per_second", 10_000)
        self.close_notify = spec.get("close_notify", False)
        self.realm, self.count = spec.get("realm"), spec.get("count", 3)
        self.fill = spec.get("fill", "records")
        self.hits = 0

    def takes(self, path, region):
        """Whether this request is hit; counts it if so."""
        if self.left == 0 or (self.region and self.region != region):
            return False
        if path != self.match and (self.exact or not path.startswith(self.match)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True

    def describe(self):
        return {"kind": self.kind, "match": self.match, "left": self.left, "hits": self.hits,
                "status": self.status}


def spoil(fault, pieces, plain_bytes):
    """The body's pieces (not gzipped) with the fault in them."""
    if fault.kind == "wrong-realm":
        return other_realm(pieces, fault.realm)
    if fault.kind == "late-connected-realm":
        return late_realm(pieces, fault.realm)
    if fault.kind == "no-auctions":
        return [split_head(pieces)[0].rstrip(b",") + b"}"]
    if fault.kind == "malformed":
        return broken_in_the_middle(pieces, plain_bytes // 2 if fault.at is None else fault.at)
    if fault.kind == "truncated":
        return cut_short(pieces, plain_bytes // 2 if fault.at is None else fault.at)
    if fault.kind == "trailing":
        return itertools.chain(pieces, [b'}]},"and":"more"'])
    if fault.kind == "invalid-utf8":
        return invalid_utf8(pieces, fault.count)
    if fault.kind == "huge":
        return endless(pieces, fault.fill)
    return pieces


def spoil_small(fault, body):
    """The same for the short replies: the token, the index."""
    if fault.kind == "malformed":
        return body[:len(body) // 2] + b"}}"
    if fault.kind == "truncated":
        return body[:len(body) // 2 if fault.at is None else fault.at]
    if fault.kind == "trailing":
        return body + b"]}"
    return body


def gzipped(pieces, level=1):
    pack = zlib.compressobj(level, zlib.DEFLATED, 31)
    for piece in pieces:
        yield pack.compress(piece)
    yield pack.flush()


def bad_gzip(pieces, total_bytes):
    """One byte of the compressed data is another."""
    seen = 0
    for piece in pieces:
        place = total_bytes // 2 - seen
        if 0 <= place < len(piece):
            piece = piece[:place] + bytes([piece[place] ^ 0x55]) + piece[place + 1:]
        seen += len(piece)
        yield piece


def split_head(pieces):
    """What comes before the member "auctions", and the pieces from there on."""
    pieces, head = iter(pieces), b""
    for piece in pieces:
        head += piece
        place = head.find(b'"auctions":')
        if place >= 0:
            return head[:place], itertools.chain([head[place:]], pieces)
    return head, iter(())


def other_realm(pieces, realm):
    head, rest = split_head(pieces)

    def renamed(match):
        return b"/connected-realm/%d" % (int(match[1]) + 1 if realm is None else realm)

    return itertools.chain([re.sub(rb"/connected-realm/(\d+)", renamed, head)], rest)


def late_realm(pieces, realm):
    head, rest = split_head(pieces)
    member = re.search(rb'"connected_realm":\{[^}]*\},', head)
    if not member:
        yield head
        yield from rest
        return
    late = member[0].rstrip(b",")
    if realm is not None:
        late = re.sub(rb"/connected-realm/\d+", b"/connected-realm/%d" % realm, late)
    yield head.replace(member[0], b"")
    held = b""
    for piece in rest:
        if piece:
            yield held
            held = piece
    yield held.rstrip()[:-1] + b"," + late + b"}"


def broken_in_the_middle(pieces, at):
    """The first boundary of two records after byte `at` is no JSON."""
    seen, held, done = 0, b"", False
    for piece in pieces:
        piece = held + piece
        place = piece.find(b'},{"id"', max(0, at - seen))
        if not done and place >= 0:
            piece = piece[:place] + b'}{,"id"' + piece[place + 7:]
            done = True
        held = piece[-8:]
        yield piece[:-8]
        seen += len(piece) - len(held)
    yield held


def cut_short(pieces, at):
    for piece in pieces:
        yield piece[:at]
        at -= len(piece)
        if at <= 0:
            return


def invalid_utf8(pieces, count):
    """So many of the first records get a member "owner" in Latin-1."""
    pieces, start = iter(pieces), b""
    for piece in pieces:
        start += piece
        if start.count(b'"time_left":') >= count:
            break
    yield start.replace(b'"time_left":', b'"owner":"Gr\xfc\xdfe","time_left":', count)
    yield from pieces


def endless(pieces, fill):
    """A body that never ends: its own first records over and over, or white space."""
    head, rest = split_head(pieces)
    first = next(rest)
    records = first[first.index(b"[") + 1:first.rindex(b'},{"id"') + 1]
    yield head + b'"auctions":[' + records
    more = b" " * 65536 if fill == "spaces" else b"," + records
    while True:
        yield more
