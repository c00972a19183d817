"""Places, errors and small helpers that every part shares."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
HERE = TOP / "board" / "mainhost"
LOOPBACK = "127.0.0.1"
LOG_LINES_SHOWN = 15
MIB = 1024 * 1024


class ServiceError(Exception):
    """Something failed; the text says what, where, and what to do."""

    exit_code = 1


class NotToBeHad(ServiceError):
    """A server cannot be had on this machine (no java, no package registry ...): use embedded parts."""

    exit_code = 3


def cache_dir():
    return Path(os.environ.get("GAVEL_CACHE") or TOP / "build" / "cache").absolute() / "services"


def services_dir():
    return Path(os.environ.get("GAVEL_SERVICES_DIR") or TOP / "build" / "services").absolute()


def number_from_env(name, default, low, high):
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ServiceError(f"{name}={text}: expected a whole number from {low} to {high}")
    return int(text)


def say(text):
    print(text, flush=True)


@contextlib.contextmanager
def locked(path):
    """Holds a lock file, so that two calls never start, stop or download the same thing at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_whole(path, text):
    """Writes a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    temporary.replace(path)


def last_lines(path, count=LOG_LINES_SHOWN):
    try:
        with open(path, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16384))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return "    (no log was written)"
    return "\n".join("    " + line[:400] for line in lines[-count:])


def run_logged(what, command, log, timeout_s=900, error=ServiceError, hint="", **options):
    """Runs a tool with its output in `log`; raises `error` when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
                **options,
            )
        except subprocess.TimeoutExpired:
            raise error(f"{what} took longer than {timeout_s} s{hint} (log: {log})") from None
        except OSError as reason:
            raise error(f"{what}: cannot run {command[0]}: {reason.strerror}") from None
    if done.returncode != 0:
        raise error(f"{what} failed{hint}. Log: {log}\n{last_lines(log, 5)}")


def fetch_logged(what, command, log, **options):
    """Runs a tool that needs a package registry; what it could not get is not to be had here."""
    hint = ": is the package registry reachable?"
    run_logged(what, command, log, error=NotToBeHad, hint=hint, **options)


@contextlib.contextmanager
def made_once(name):
    """Yields (directory, make): when make is true the block fills the directory, which gets its
    name only when it is whole, so that an interrupted download is never taken for a good one."""
    final = cache_dir() / name
    with locked(cache_dir() / "lock"):
        if final.is_dir():
            yield final, False
            return
        partial = cache_dir() / (name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial, True
        partial.rename(final)
