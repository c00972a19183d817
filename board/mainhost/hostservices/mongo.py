"""MongoDB: mongod where it is installed, else FerretDB on SQLite, built from ../ferretdb with Go."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import urllib.request
import zipfile
from pathlib import Path

from . import probe
from .common import HERE, LOOPBACK, NotToBeHad, ServiceError, cache_dir, made_once, run_logged
from .service import Service

SOURCE = HERE / "ferretdb"
# From 1.21 on, go fetches the version that go.mod wants by itself.
GO_SELF_UPDATING = (1, 21)
# Where there is no such go: the toolchain as the Go module proxy has it.
GO_VERSION = "1.24.13"
GO_SHA256 = {
    "amd64": "d2b048367a3d1a748b87f756fa06df12ce3b419e1d5f2a3612acb8950d615f9f",
    "arm64": "4d31d22f75fed99025f7b082319eabeb74106d11e343fc203b336ba2afdeb3a1",
}


class Mongo(Service):
    name = "mongo"
    address_env = "GAVEL_MONGO_URL"
    port_env = "GAVEL_MONGO_PORT"
    default_port = 17017

    def __init__(self):
        super().__init__()
        choice = os.environ.get("GAVEL_MONGO_SERVER", "")
        if choice not in ("", "mongod", "ferretdb"):
            raise ServiceError(f"GAVEL_MONGO_SERVER={choice}: expected mongod or ferretdb")
        self.mongod = shutil.which("mongod") if choice != "ferretdb" else None
        self.wants_mongod = choice == "mongod"
        # The two do not read each other's files.
        self.data = self.directory / ("data-mongod" if self.mongod else "data-ferretdb")

    def title(self):
        if self.mongod:
            text = subprocess.run(
                [self.mongod, "--version"], capture_output=True, text=True, check=False
            ).stdout
            found = re.search(r"version v?(\S+)", text)
            return "MongoDB " + (found.group(1) if found else "of unknown version")
        version = re.search(r"FerretDB/FerretDB (v\S+)", (SOURCE / "go.mod").read_text()).group(1)
        return f"FerretDB {version} (SQLite)"

    def own_address(self):
        return f"mongodb://{LOOPBACK}:{self.port}/"

    def ask(self, address):
        probe.mongo(address)

    def prepare(self):
        if self.wants_mongod and not self.mongod:
            raise NotToBeHad("GAVEL_MONGO_SERVER=mongod, but mongod is not installed")
        if not self.mongod:
            self.ferretdb = built_ferretdb()

    def command(self):
        if self.mongod:
            return [
                self.mongod,
                "--dbpath",
                str(self.data),
                "--bind_ip",
                LOOPBACK,
                "--port",
                str(self.port),
                "--wiredTigerCacheSizeGB",
                "0.25",
            ]
        return [str(self.ferretdb), "-listen", f"{LOOPBACK}:{self.port}", "-data", str(self.data)]


def built_ferretdb():
    sources = [SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    name = f"ferretdb-{version}"
    if not (found := cached(name)):
        go, settings = go_command()
        with made_once(name) as (directory, make):
            if make:
                run_logged(
                    "building FerretDB with Go",
                    [
                        go,
                        "build",
                        "-p",
                        "2",
                        "-trimpath",
                        "-buildvcs=false",
                        "-mod=readonly",
                        "-o",
                        str(directory / "ferretdb"),
                        ".",
                    ],
                    directory.parent / "ferretdb-build.log",
                    cwd=SOURCE,
                    env=dict(os.environ, CGO_ENABLED="0", **settings),
                )
        found = directory.parent / name
    return found / "ferretdb"


def cached(name):
    path = cache_dir() / name
    return path if path.is_dir() else None


def go_command():
    """(go, environment for it)"""
    go = shutil.which("go")
    if go:
        text = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, check=False
        ).stdout
        version = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
        wanted = tuple(
            int(part)
            for part in re.search(
                r"^go (\d+)\.(\d+)", (SOURCE / "go.mod").read_text(), re.M
            ).groups()
        )
        if version >= wanted:
            return go, {}
        if version >= GO_SELF_UPDATING:
            return go, {"GOTOOLCHAIN": "auto"}
    return fetched_go(), {"GOTOOLCHAIN": "local"}


def fetched_go():
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if not machine:
        raise NotToBeHad("go is missing or older than 1.21: install a newer Go")
    name = f"go{GO_VERSION}.linux-{machine}"
    if not cached(name):
        # As the go command reads it: the first proxy that is a URL.
        proxies = re.split(r"[,|]", os.environ.get("GOPROXY", "")) + ["https://proxy.golang.org"]
        proxy = next(word for word in proxies if word.startswith("http")).rstrip("/")
        with made_once(name) as (directory, make):
            if make:
                unpack_go(
                    f"{proxy}/golang.org/toolchain/@v/v0.0.1-{name}.zip",
                    GO_SHA256[machine],
                    directory,
                )
    return str(cached(name) / "bin" / "go")


def unpack_go(url, sha256, directory):
    archive = directory / "toolchain.zip"
    try:
        with urllib.request.urlopen(url, timeout=60) as reply, open(archive, "wb") as out:
            shutil.copyfileobj(reply, out)
    except OSError as error:
        raise NotToBeHad(
            f"go is missing or older than 1.21, and {url} could not be fetched: {error}"
        ) from None
    if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
        raise ServiceError(
            f"{url} does not have the expected sha256 {sha256}: nothing of it is used"
        )
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            _, _, path = entry.filename.partition("/")[2].partition("/")
            target = directory / path
            if not path or entry.is_dir() or ".." in Path(path).parts:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(packed.read(entry))
            if path.startswith(("bin/", "pkg/tool/")):
                target.chmod(0o755)  # module archives keep no modes
    archive.unlink()
