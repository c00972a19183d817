"""Building ../ferretdb: with the machine's go, else with one from the Go module proxy."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import urllib.request
import zipfile
from pathlib import Path

from .common import HERE, NotToBeHad, ServiceError, cache_dir, fetch_logged, made_once

SOURCE = HERE / "ferretdb"
MODULE = "github.com/FerretDB/FerretDB"

# From 1.21 on, go fetches the version that go.mod wants by itself.
GO_SELF_UPDATING = (1, 21)
# Where there is no such go: the toolchain as the Go module proxy has it.
GO_VERSION = "1.24.13"
GO_SHA256 = {
    "amd64": "d2b048367a3d1a748b87f756fa06df12ce3b419e1d5f2a3612acb8950d615f9f",
    "arm64": "4d31d22f75fed99025f7b082319eabeb74106d11e343fc203b336ba2afdeb3a1",
}

# Mistakes of FerretDB v1.24.2 that are mended in a copy while it is built: file, the text that stands
# there once, what it becomes.
MENDED = [
    # The index of _id is over another spelling of it, so that every look-up by _id read the table.
    (
        "internal/backends/sqlite/metadata/metadata.go",
        """IDColumn = DefaultColumn + "->'$._id'\"""",
        """IDColumn = DefaultColumn + "->'_id'\"""",
    ),
    # Each update of a command kept its database connection until the last: the 101st hung for ever.
    (
        "internal/handler/msg_update.go",
        'common.UpdateDocument(ctx, c, "update", iter, &u)\n',
        'common.UpdateDocument(ctx, c, "update", iter, &u)\n\t\titer.Close()\n\t\tres.Iter.Close()\n',
    ),
    # All accumulators of a $group shared one pass over the documents: the second got nothing.
    (
        "internal/handler/common/aggregations/stages/group.go",
        """		groupIter := iterator.Values(iterator.ForSlice(groupedDocument.documents))
		defer groupIter.Close()

		for _, accumulation := range g.groupBy {
""",
        """		for _, accumulation := range g.groupBy {
			groupIter := iterator.Values(iterator.ForSlice(groupedDocument.documents))
			defer groupIter.Close()

""",
    ),
]


def version():
    return re.search(rf"{MODULE} (v\S+)", (SOURCE / "go.mod").read_text()).group(1)


def built():
    """The program's path; builds it when its sources or the mends have changed."""
    sources = [(SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")]
    mends = json.dumps(MENDED).encode()
    digest = hashlib.sha256(b"".join(sources) + mends).hexdigest()[:12]
    name = f"ferretdb-{digest}"
    found = cached(name)
    if not found:
        go, settings = go_command()
        environment = dict(os.environ, CGO_ENABLED="0", **settings)
        with made_once(name) as (directory, make):
            if make:
                build(go, environment, directory)
        found = cached(name)
    return found / "ferretdb"


def build(go, environment, directory):
    log = directory.parent / "ferretdb-build.log"
    sources = directory / "sources"
    sources.mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(SOURCE / name, sources)

    def run(what, *words):
        fetch_logged(what, [go, *words], log, cwd=sources, env=environment)

    run("fetching FerretDB's sources", "mod", "download")
    copy_mended(go, environment, sources)
    run("preparing FerretDB's build", "mod", "edit", f"-replace={MODULE}=./mended")
    flags = "-p 2 -trimpath -buildvcs=false -mod=mod".split()
    run("building FerretDB", "build", *flags, "-o", str(directory / "ferretdb"), ".")
    shutil.rmtree(sources)


def copy_mended(go, environment, sources):
    """Copies FerretDB's module, as go fetched and verified it, to sources/mended, and mends it."""
    listed = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", MODULE],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    module = Path(listed.stdout.strip())
    if listed.returncode != 0 or not module.is_absolute():
        raise NotToBeHad(f"go does not find the sources of {MODULE}: {listed.stderr.strip()}")
    mended = sources / "mended"
    # Contents alone: the module's files and directories are read-only.
    for path in module.rglob("*"):
        target = mended / path.relative_to(module)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for name, old, new in MENDED:
        text = (mended / name).read_text()
        if text.count(old) != 1:
            raise ServiceError(
                f"{MODULE}: {name} is not the file that hostservices/ferretdb.py mends"
            )
        (mended / name).write_text(text.replace(old, new))


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


def go_proxy():
    """The first proxy that is a URL, as any go command, however old, knows it."""
    go = shutil.which("go")
    named = os.environ.get("GOPROXY", "")
    if not named and go:
        named = subprocess.run([go, "env", "GOPROXY"], capture_output=True, text=True, check=False).stdout
    for word in re.split(r"[,|\s]", named):
        if word.startswith("http"):
            return word.rstrip("/")
    raise NotToBeHad("go is missing, and GOPROXY names no module proxy: install a Go, even an old one")


def fetched_go():
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if not machine:
        raise NotToBeHad("go is missing or older than 1.21: install a newer Go")
    name = f"go{GO_VERSION}.linux-{machine}"
    if not cached(name):
        proxy = go_proxy()
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
