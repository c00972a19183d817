"""A door with TLS in front of a server that has none: decrypts, and passes on what comes."""
import socket
import ssl
import threading

from gavel_env import TOP

CERTIFICATES = TOP / "tests" / "doubles" / "tls"
PIECE_BYTES = 65536


class TlsDoor:
    """Listens at .port of 127.0.0.1 with server.pem, which ca.pem signed, and counts in .passed who came through."""

    def __init__(self, host, port):
        self.behind, self.passed = (host, port), 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.carry, args=(caller,), daemon=True).start()

    def carry(self, caller):
        try:
            caller = self.context.wrap_socket(caller, server_side=True)
        except OSError:
            caller.close()  # it did not like the certificate
            return
        self.passed += 1
        server = socket.create_connection(self.behind)
        threading.Thread(target=pump, args=(server, caller), daemon=True).start()
        pump(caller, server)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def pump(source, target):
    """Until one of them has had enough; then both have."""
    try:
        while piece := source.recv(PIECE_BYTES):
            target.sendall(piece)
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
