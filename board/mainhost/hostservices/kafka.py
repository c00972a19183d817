"""Apache Kafka: one node that is broker and controller (KRaft), from the official Maven artifacts."""

import base64
import hashlib
import os
import re
import uuid

from . import probe, tls
from .common import HERE, LOOPBACK, fetch_logged, made_once, run_logged, write_whole
from .service import Service, java, maven

# Known to everybody, and good on loopback for tests only.
USER, PASSWORD = "gavel", "gavel-secret"
STRANGER, STRANGER_PASSWORD = "stranger", "stranger-secret"
POM = HERE / "kafka" / "pom.xml"


class Kafka(Service):
    name = "kafka"
    address_env = "GAVEL_KAFKA"
    port_env = "GAVEL_KAFKA_PORT"
    default_port = 19092

    def __init__(self):
        super().__init__()
        self.controller_port = self.port + 1
        self.secure_ports = {
            "SSL": self.port + 2,
            "SASL_PLAINTEXT": self.port + 3,
            "SASL_SSL": self.port + 4,
        }
        # Once switched on, the secure listeners stay until `wipe`: a restart must not take them away.
        self.secure_mark = self.directory / "secure"
        if os.environ.get("GAVEL_KAFKA_SECURE", "") not in ("", "0"):
            self.wants_secure = True
        else:
            self.wants_secure = self.secure_mark.exists()

    def title(self):
        return "Apache Kafka " + re.search(
            r"kafka_2\.13</artifactId>\s*<version>([^<]+)", POM.read_text()
        ).group(1)

    def own_address(self):
        return f"{LOOPBACK}:{self.port}"

    def ask(self, address):
        host, _, port = address.split(",")[0].rpartition(":")
        if not host or not port.isdecimal():
            raise probe.NoAnswer("expected host:port")
        probe.kafka(host.strip("[]"), int(port))

    def ports(self):
        return [self.port, self.controller_port] + (
            list(self.secure_ports.values()) if self.wants_secure else []
        )

    def is_new(self):
        return not (self.data / "meta.properties").exists()

    def needs_restart(self):
        running = self.process.record() or {}
        if self.wants_secure and not any(
            "secure.properties" in word for word in running.get("command", [])
        ):
            return "to add the secure listeners"
        return None

    def prepare(self):
        self.java = java()
        self.jars = self._jars()

    def _jars(self):
        version = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
        with made_once(f"kafka-{version}") as (directory, make):
            if make:
                fetch_logged(
                    "downloading Apache Kafka with Maven",
                    [
                        maven(),
                        "-q",
                        "-B",
                        "-C",
                        "-f",
                        POM,
                        "dependency:copy-dependencies",
                        "-DincludeScope=runtime",
                        f"-DoutputDirectory={directory}",
                    ],
                    directory.parent / "kafka-download.log",
                )
        return directory.parent / f"kafka-{version}"

    def _java(self, *words):
        heap = os.environ.get("GAVEL_KAFKA_HEAP") or "384m"
        return [
            self.java,
            f"-Xmx{heap}",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Dlog4j2.configurationFile={HERE / 'kafka' / 'log4j2.properties'}",
            "-cp",
            f"{self.jars}/*",
            *words,
        ]

    def command(self):
        if self.wants_secure:
            tls.make_certificates(self.directory / "tls")
            self.secure_mark.touch()
        properties = self.directory / (
            "secure.properties" if self.wants_secure else "server.properties"
        )
        write_whole(
            properties, "".join(f"{key}={value}\n" for key, value in self._settings().items())
        )
        properties.chmod(0o600)
        if self.is_new():
            self._format(properties)
        return self._java("kafka.Kafka", str(properties))

    def _format(self, properties):
        """Writes the cluster's id and the SCRAM users into an empty data directory."""
        cluster = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        users = [
            word
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for user, password in ((USER, PASSWORD), (STRANGER, STRANGER_PASSWORD))
            for word in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
        ]
        run_logged(
            "formatting Kafka's data directory",
            self._java(
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
                "-t",
                cluster,
                "-c",
                str(properties),
                *users,
            ),
            self.directory / "format.log",
        )

    def _settings(self):
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.data,
            # Topics are made by the programs that own them; one that nobody made is a mistake to be seen.
            "auto.create.topics.enable": "false",
            # One node: one copy of everything, and few partitions for a fast start.
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            # A compacted topic's cleaner takes 128 MiB of heap unless told otherwise.
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        }
        if self.wants_secure:
            settings.update(self._secure_settings())
        return settings

    def _secure_settings(self):
        certificates = self.directory / "tls"
        plain = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'user_{USER}="{PASSWORD}" user_{STRANGER}="{STRANGER_PASSWORD}";'
        )
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        listeners = "".join(
            f",{kind}://{LOOPBACK}:{port}" for kind, port in self.secure_ports.items()
        )
        settings = {
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}"
            + listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,"
            "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": certificates / "server.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates / "ca.pem",
            "listener.name.ssl.ssl.client.auth": "requested",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            # Everybody but the stranger may do everything: so a refusal can be tested, too.
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER};User:CN={tls.CLIENT_NAME}",
        }
        for listener in ("sasl_plaintext", "sasl_ssl"):
            prefix = f"listener.name.{listener}."
            settings[prefix + "plain.sasl.jaas.config"] = plain
            settings[prefix + "scram-sha-256.sasl.jaas.config"] = scram
            settings[prefix + "scram-sha-512.sasl.jaas.config"] = scram
        return settings

    def exports(self):
        if self.named() or not self.wants_secure:
            return {}
        certificates = self.directory / "tls"
        addresses = {
            f"GAVEL_KAFKA_{kind}": f"{LOOPBACK}:{port}" for kind, port in self.secure_ports.items()
        }
        return dict(
            addresses,
            GAVEL_KAFKA_USER=USER,
            GAVEL_KAFKA_PASSWORD=PASSWORD,
            GAVEL_KAFKA_STRANGER=STRANGER,
            GAVEL_KAFKA_STRANGER_PASSWORD=STRANGER_PASSWORD,
            GAVEL_KAFKA_CA=certificates / "ca.pem",
            GAVEL_KAFKA_CLIENT_CERT=certificates / "client.crt",
            GAVEL_KAFKA_CLIENT_KEY=certificates / "client.key",
        )
