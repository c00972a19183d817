"""`services install`: the packages that starting the servers needs, through apt."""

import os
import re
import shutil
import subprocess

from .common import NotToBeHad, ServiceError, say
from .service import java


def candidate(package):
    """The version that apt would install, as text, or None."""
    text = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"Candidate: (\S+)", text)
    return found.group(1) if found and found.group(1) != "(none)" else None


def missing_packages():
    wanted = []
    try:
        java()
    except NotToBeHad:
        wanted.append(
            "openjdk-17-jre-headless"
            if candidate("openjdk-17-jre-headless")
            else "default-jre-headless"
        )
    if not shutil.which("mvn"):
        wanted.append("maven")
    if not shutil.which("openssl"):
        wanted.append("openssl")
    if not shutil.which("go") and not shutil.which("mongod"):
        wanted.append("golang-go")  # even an old one knows the proxy that a newer one comes from
    return wanted


def install():
    if not shutil.which("apt-get"):
        raise ServiceError(
            "install: this machine has no apt-get; install Java 17 or newer, Maven, Go 1.21 or "
            "newer (or mongod) and openssl in its own way"
        )
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if as_root and not shutil.which("sudo"):
        raise ServiceError("install: needs root; run it as root, or install sudo")
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    if not missing_packages():
        say("nothing to install: java, mvn, openssl and go (or mongod) are here")
        return
    subprocess.run([*as_root, "apt-get", "-q", "update"], env=quiet, check=False)
    wanted = missing_packages()  # asked again: now apt knows its candidates
    if not wanted:
        return
    say("installing " + " ".join(wanted))
    done = subprocess.run(
        [*as_root, "apt-get", "-q", "-y", "install", "--no-install-recommends", *wanted],
        env=quiet,
        check=False,
    )
    if done.returncode != 0:
        raise NotToBeHad("install: apt-get could not install " + " ".join(wanted) + " (see above)")
