"""Certificates for servers on loopback, made by openssl for one test."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests import programs


def server_context(folder: Path, *, name: str = "localhost") -> ssl.SSLContext:
    """What a server with a fresh self-signed certificate for this name (and 127.0.0.1) needs."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    address = "IP:127.0.0.1" if name == "localhost" else f"DNS:{name}"
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    about = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},{address}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([programs.find("openssl", "openssl"), *command, *about, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def trusting(folder: Path, *, name: str = "localhost") -> ssl.SSLContext:
    """A client that trusts the certificate made by `server_context` in this folder."""
    return ssl.create_default_context(cafile=folder / f"{name}.pem")
