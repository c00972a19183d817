"""A throw-away certificate authority and a server certificate for localhost, by the openssl command."""
import os
import subprocess
from pathlib import Path

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = Stand-in API authority
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


def make(directory, days=3650):
    """Returns paths (ca, certificate, key). What is there is kept, so a restart has the same CA."""
    directory = Path(directory)
    ca, certificate, key = (directory / name for name in ("ca.pem", "server.pem", "server.key"))
    if not (ca.exists() and certificate.exists() and key.exists()):
        config, request, ca_key = (directory / n for n in ("openssl.cnf", "server.csr", "ca.key"))
        config.write_text(CONFIG)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *curve, "-config", config, "-extensions", "ca", "-days", days,
                "-keyout", ca_key, "-out", ca)
        openssl("req", *curve, "-config", config, "-subj", "/CN=localhost", "-keyout", key,
                "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                "-CAserial", directory / "ca.srl", "-days", days, "-extfile", config,
                "-extensions", "server", "-out", certificate)
        os.chmod(key, 0o600)
        os.chmod(ca_key, 0o600)
    return ca, certificate, key


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("openssl %s: %s" % (arguments[0], done.stderr.strip()))
