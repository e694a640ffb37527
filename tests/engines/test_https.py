"""A probe over TLS; openssl makes the certificate."""

import socket
import ssl
import subprocess
from pathlib import Path

from escadm.core.probes import Http
from escadm.system.probe import probe
from tests.unit.system.test_probe import server


def test_https_with_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=elsewhere"]
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        ["openssl", *words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with server(answer) as port:
        assert probe(Http(f"https://127.0.0.1:{port}/")) is None
