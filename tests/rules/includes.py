#!/usr/bin/env python3
"""Who may include whom: keeps the rooms apart, and each library behind its adapter.

usage: includes.py [--root DIR]     exit code 1 and a line for each breach
"""
import argparse
import pathlib
import re
import sys

# Room (longest matching folder) -> folders or headers of ours it may include, besides its own.
PLATFORM = ["platform/"]
LOWER = ["agent/codec/", "agent/config/", "agent/net/", "spool/spool.h", *PLATFORM]
ROOMS = {
    "platform": [],
    "spool": PLATFORM,
    "board": PLATFORM,
    "agent/codec": ["platform/err.h", "platform/span.h", "platform/mem.h"],
    "agent/config": PLATFORM,
    "agent/net": PLATFORM,
    "agent/registry": LOWER,
    "agent/forward": LOWER,
    "agent/source": LOWER,
    "agent/sink": LOWER,
    "agent/ota": LOWER,
    "agent/status": LOWER,
    "agent/pipeline": ["agent/source/", "agent/forward/", "agent/registry/", *LOWER],
    "agent/cli": ["agent/registry/", "agent/ota/", "board/", *LOWER],
    "agent/tools": ["agent/cli/", "agent/forward/", "agent/registry/", "spool/", *LOWER],
    "agent/commands": ["agent/cli/", "agent/ota/", "agent/registry/", "agent/source/", "agent/status/", *LOWER],
    "agent/main": ["agent/", "board/", *LOWER],
    "tests": ["agent/", "board/", "spool/", *PLATFORM],
}

# First part of a third-party include -> the only files (by prefix) that may name it.
LIBRARIES = {
    "curl": ["agent/net/http_curl.c"],
    "zlib.h": ["agent/net/inflate.c"],
    "mbedtls": ["agent/net/tls_", "agent/net/http_curl.c", "agent/ota/signature_mbedtls.c"],
    "librdkafka": ["agent/net/kafka_"],
    "avro.h": ["agent/codec/schema_check.c", "agent/cli/cli.c"],
    "lz4.h": ["spool/", "agent/cli/cli.c"],
    "mongoc": ["agent/sink/store_mongo"],
    "bson": ["agent/sink/"],
    "sqlite3.h": ["agent/sink/store_sqlite"],
    "microhttpd.h": ["agent/net/http_server.c"],
    "cjson": ["agent/", "board/"],
    "jansson.h": [],
    "openssl": [],
    "cmocka.h": [],
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def room_of(path):
    parts = path.split("/")
    for n in (2, 1):
        if "/".join(parts[:n]) in ROOMS:
            return "/".join(parts[:n])
    return None


def ours(root, name):
    return (root / name).is_file()


def breaches(root):
    files = [p for top in ("agent", "platform", "spool", "board", "tests")
             for p in sorted((root / top).rglob("*.[ch]"))]
    for path in files:
        name = path.relative_to(root).as_posix()
        room = room_of(name)
        for match in INCLUDE.finditer(path.read_text(encoding="utf-8")):
            kind, target = match.groups()
            if kind == '"' and ours(root, target):
                if room_of(target) == room:
                    continue
                if not any(target.startswith(ok) for ok in ROOMS[room]):
                    yield f"{name}: {room} may not include {target}"
            elif kind == '"' and (path.parent / target).is_file():
                yield f"{name}: include {target} from the repository's root"
            elif room != "tests":
                for library, homes in LIBRARIES.items():
                    at_home = any(name.startswith(home) for home in homes)
                    if (target == library or target.startswith(library + "/")) and not at_home:
                        yield f"{name}: {library} is touched only by {', '.join(homes) or 'nobody'}"
    if not files:
        yield "no C files found: wrong --root?"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--root", type=pathlib.Path, default=here)
    found = list(breaches(parser.parse_args().root))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
