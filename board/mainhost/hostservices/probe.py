"""Questions put to servers over their own protocols: a server is ready when it gives a right answer.

Sources: the Kafka protocol guide (ApiVersions, Metadata), the Confluent Schema Registry API, the
MongoDB wire protocol (OP_MSG) and BSON. Every function raises NoAnswer with the reason, or returns.
"""

import base64
import http.client
import json
import socket
import ssl
import struct
import urllib.parse
import urllib.error
import urllib.request
from pathlib import Path

REPLY_MAX_BYTES = 1 << 20
TIMEOUT_S = 5


class NoAnswer(Exception):
    pass


def _receive(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise NoAnswer("the connection was closed before an answer")
        data += part
    return data


def _connect(host, port):
    try:
        return socket.create_connection((host, port), TIMEOUT_S)
    except OSError as error:
        raise NoAnswer(f"no connection to {host}:{port}: {error.strerror or error}") from None


def _kafka_ask(connection, api_key, api_version, body):
    correlation = 1
    client = b"gavel-services"
    request = struct.pack(">hhih", api_key, api_version, correlation, len(client)) + client + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _receive(connection, 4))
    if not 4 <= size <= REPLY_MAX_BYTES:
        raise NoAnswer("what listens there does not speak the Kafka protocol")
    reply = _receive(connection, size)
    if struct.unpack(">i", reply[:4])[0] != correlation:
        raise NoAnswer("what listens there does not speak the Kafka protocol")
    return reply[4:]


def kafka(host, port):
    """Asks for the versions, and for metadata that names at least one broker."""
    api_versions, metadata = 18, 3
    with _connect(host, port) as connection:
        try:
            reply = _kafka_ask(connection, api_versions, 0, b"")
            (error,) = struct.unpack(">h", reply[:2])
            if error != 0:
                raise NoAnswer(f"ApiVersions was answered with error {error}")
            no_topics_no_creation = struct.pack(">ib", 0, 0)
            reply = _kafka_ask(connection, metadata, 4, no_topics_no_creation)
            throttle_ms, brokers = struct.unpack(">ii", reply[:8])
            if brokers < 1:
                raise NoAnswer("it knows of no broker yet")
        except (OSError, struct.error) as error:
            raise NoAnswer(f"no Kafka answer from {host}:{port}: {error}") from None


def registry(base_url):
    """GET /subjects must give a JSON list. A user and password may stand in the URL."""
    parts = urllib.parse.urlsplit(base_url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    request = urllib.request.Request(address + "/subjects")
    if parts.username is not None:
        user = (
            urllib.parse.unquote(parts.username) + ":" + urllib.parse.unquote(parts.password or "")
        )
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=TIMEOUT_S) as reply:
            subjects = json.loads(reply.read(REPLY_MAX_BYTES))
    except urllib.error.HTTPError as error:
        raise NoAnswer(f"GET {address}/subjects was answered with {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswer(
            f"no answer from {address}/subjects: {getattr(error, 'reason', error)}"
        ) from None
    if not isinstance(subjects, list):
        raise NoAnswer(f"GET {address}/subjects did not give a list of subjects")


def mongo(url):
    """Sends `hello` to the first host of the URL and wants {ok: 1}. Needs no login."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "mongodb":
        raise NoAnswer("only mongodb:// URLs can be checked from here")
    host, _, port = parts.netloc.rpartition("@")[2].split(",")[0].partition(":")
    options = dict(urllib.parse.parse_qsl(parts.query))
    connection = _connect(host, int(port or 27017))
    try:
        if "true" in (options.get("tls"), options.get("ssl")):
            connection = ssl.create_default_context(cafile=options.get("tlsCAFile")).wrap_socket(
                connection, server_hostname=host
            )
        command = (
            b"\x10hello\0" + struct.pack("<i", 1) + b"\x02$db\0" + struct.pack("<i", 6) + b"admin\0"
        )
        document = struct.pack("<i", len(command) + 5) + command + b"\0"
        op_msg = 2013
        connection.sendall(
            struct.pack("<iiiiib", 21 + len(document), 1, 0, op_msg, 0, 0) + document
        )
        size, _, _, op_code = struct.unpack("<iiii", _receive(connection, 16))
        if op_code != op_msg or not 16 < size <= REPLY_MAX_BYTES:
            raise NoAnswer("what listens there does not speak the MongoDB protocol")
        if b"\x01ok\0" + struct.pack("<d", 1.0) not in _receive(connection, size - 16):
            raise NoAnswer("it answered `hello` with an error")
    except (OSError, struct.error) as error:
        raise NoAnswer(f"no MongoDB answer from {host}: {error}") from None
    finally:
        connection.close()


def port_is_free(host, port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def port_owner(port):
    """Who listens on the port, in words; needs no tool, but may see only the user's own processes."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in inodes:
                pid = link.parts[2]
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                return f"process {pid} ({command.decode(errors='replace')[:60].strip()})"
        except OSError:
            continue
    return "another program"
