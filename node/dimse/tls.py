"""TLS on the DICOM port, after the BCP 195 profile of PS3.15 B.12 (RFC 8996, RFC 9325)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from node.config import TLS
from node.errors import ConfigError

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""


def server_context(settings: TLS) -> ssl.SSLContext:
    """What we show who connects, and what we want to see of them.

    Raises:
        ConfigError: certificate, key or CA cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    elif settings.ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
    load(context, settings)
    return context


def load(context: ssl.SSLContext, settings: TLS) -> None:
    """Read certificate, key and CA; new connections get them at once.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if settings.require_client_certificate and settings.ca is None:
        raise ConfigError(
            "dicom.tls.require_client_certificate needs dicom.tls.ca: "
            "the certificate authority that signs the certificates of peers"
        )
    for path, key in (
        (settings.certificate, "certificate"),
        (settings.key, "key"),
        (settings.ca, "ca"),
    ):
        if path is not None:
            _readable(path, key)
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"dicom.tls: {settings.certificate} and {settings.key} cannot be used together, "
            f"or are not PEM: {error.reason or 'nothing in them is'}"
        ) from error
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except ssl.SSLError as error:
            raise ConfigError(f"dicom.tls.ca {settings.ca} is no PEM certificate") from error


def subject_of(connection: object) -> str:
    """The common name in the peer's certificate, for the audit log; empty without one."""
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    names = dict(pair for group in certificate.get("subject", ()) for pair in group)
    return str(names.get("commonName", ""))


def _readable(path: Path, key: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(f"dicom.tls.{key} {path} cannot be read: {error.strerror}") from error


def _no_password() -> str:
    raise ConfigError("dicom.tls.key is encrypted; the node has nobody to ask for its password")
