"""Certificates for the secure listeners, made by openssl: a CA, a server on loopback, a client."""

import shutil

from .common import NotToBeHad, run_logged

CLIENT_NAME = "gavel-client"
DAYS = "3650"
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_certificates(directory):
    """ca.pem; server.pem (key and chain, as Kafka wants it); client.crt and client.key. Made once."""
    if (directory / "server.pem").exists():
        return
    openssl = shutil.which("openssl")
    if not openssl:
        raise NotToBeHad("openssl is missing, which makes the certificates: install openssl")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = directory / "openssl.log"

    def run(*words):
        run_logged("making certificates", [openssl, *words], log, timeout_s=60, cwd=directory)

    run(
        "req",
        "-x509",
        *CURVE,
        "-days",
        DAYS,
        "-subj",
        "/CN=Gavel test CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    )
    for who, name in (("server", "localhost"), ("client", CLIENT_NAME)):
        (directory / f"{who}.ext").write_text(
            "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
            f"extendedKeyUsage={who}Auth\n"
            + ("subjectAltName=DNS:localhost,IP:127.0.0.1\n" if who == "server" else "")
        )
        run(
            "req",
            "-new",
            *CURVE,
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{who}.key",
            "-out",
            f"{who}.csr",
        )
        run(
            "x509",
            "-req",
            "-in",
            f"{who}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            DAYS,
            "-extfile",
            f"{who}.ext",
            "-out",
            f"{who}.crt",
        )
    chain = [(directory / part).read_text() for part in ("server.key", "server.crt", "ca.pem")]
    whole = directory / "server.pem.new"
    whole.write_text("".join(chain))
    whole.chmod(0o600)
    whole.rename(directory / "server.pem")
