"""A Schema Registry: Apicurio Registry, which speaks the Confluent API under /apis/ccompat/v7."""

import json
import tarfile
import urllib.request

from . import probe
from .common import LOOPBACK, fetch_logged, made_once
from .service import Service, java, maven

# The newest version that runs on Java 17: 3.1 and later want 21.
VERSION = "3.0.9"


class Registry(Service):
    name = "registry"
    address_env = "GAVEL_REGISTRY_URL"
    port_env = "GAVEL_REGISTRY_PORT"
    default_port = 18081

    def title(self):
        return f"Apicurio Registry {VERSION}"

    def own_address(self):
        return f"http://{LOOPBACK}:{self.port}/apis/ccompat/v7"

    def ask(self, address):
        probe.registry(address)

    def is_new(self):
        return not (self.data / "registry.mv.db").exists()

    def prepare(self):
        self.java = java()
        self.home = self._home()

    def _home(self):
        name = f"apicurio-{VERSION}"
        with made_once(name) as (directory, make):
            if make:
                fetch_logged(
                    "downloading Apicurio Registry with Maven",
                    [
                        maven(),
                        "-q",
                        "-B",
                        "-C",
                        "dependency:copy",
                        f"-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all",
                        f"-DoutputDirectory={directory}",
                    ],
                    directory.parent / f"{name}-download.log",
                )
                archive = directory / f"apicurio-registry-app-{VERSION}-all.tar.gz"
                with tarfile.open(archive) as packed:
                    # Pythons before 3.11.4 have no filters; the archive came over a checked checksum.
                    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                    packed.extractall(directory, **safe)
                archive.unlink()
        return directory.parent / name

    def command(self):
        settings = {
            "quarkus.http.host": LOOPBACK,
            "quarkus.http.port": self.port,
            "quarkus.log.level": "WARN",
            "quarkus.log.console.color": "false",
            # Ids as Confluent gives them: one per content, found again whatever the spelling of the JSON.
            "apicurio.ccompat.legacy-id-mode.enabled": "false",
            "apicurio.ccompat.use-canonical-hash": "true",
            # An embedded database on disk; WRITE_DELAY=0 so that an id that was given out survives a kill.
            "apicurio.storage.kind": "sql",
            "apicurio.storage.sql.kind": "h2",
            "apicurio.datasource.url": f"jdbc:h2:file:{self.data}/registry;WRITE_DELAY=0;DB_CLOSE_ON_EXIT=FALSE",
            "apicurio.datasource.jdbc.initial-size": 1,
            "apicurio.datasource.jdbc.min-size": 1,
            "apicurio.datasource.jdbc.max-size": 8,
        }
        return [
            self.java,
            "-Xmx192m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            *(f"-D{key}={value}" for key, value in settings.items()),
            "-jar",
            f"{self.home}/apicurio-registry-app-{VERSION}-runner.jar",
        ]

    def after_first_start(self):
        """Confluent's default, which Apicurio does not share."""
        request = urllib.request.Request(
            self.own_address() + "/config",
            method="PUT",
            data=json.dumps({"compatibility": "BACKWARD"}).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=probe.TIMEOUT_S):
            pass
