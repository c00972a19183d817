"""MongoDB: mongod where it is installed, else FerretDB on SQLite, built from ../ferretdb with Go."""

import os
import re
import shutil
import subprocess

from . import ferretdb, probe
from .common import LOOPBACK, NotToBeHad, ServiceError
from .service import Service


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
        return f"FerretDB {ferretdb.version()} (SQLite)"

    def own_address(self):
        return f"mongodb://{LOOPBACK}:{self.port}/"

    def ask(self, address):
        probe.mongo(address)

    def prepare(self):
        if self.wants_mongod and not self.mongod:
            raise NotToBeHad("GAVEL_MONGO_SERVER=mongod, but mongod is not installed")
        if not self.mongod:
            self.program = ferretdb.built()

    def command(self):
        if self.mongod:
            listen = ["--bind_ip", LOOPBACK, "--port", str(self.port)]
            small = ["--wiredTigerCacheSizeGB", "0.25"]
            return [self.mongod, "--dbpath", str(self.data), *listen, *small]
        return [str(self.program), "-listen", f"{LOOPBACK}:{self.port}", "-data", str(self.data)]
