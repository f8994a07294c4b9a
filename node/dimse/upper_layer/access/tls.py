"""TLS of the DICOM port and to peers, by the BCP 195 profile of PS3.15 B.12.

RFC 8996 and RFC 9325: TLS 1.2 or later, forward secrecy, and a check of the name of the server.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from node.core.errors import ConfigError
from node.core.settings.model import TLS

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""


def server_context(settings: TLS) -> ssl.SSLContext:
    """The TLS context of the DICOM port.

    Raises:
        ConfigError: certificate, key or CA cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    elif settings.ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
    if settings.require_client_certificate and settings.ca is None:
        raise ConfigError(
            "dicom.tls.require_client_certificate needs dicom.tls.ca: "
            "the certificate authority that signs the certificates of peers"
        )
    _load(context, settings)
    return context


def client_context(settings: TLS | None, *, check_name: bool) -> ssl.SSLContext:
    """The TLS context for connections to peers.

    The peer's certificate has to be signed by an authority in `ca`; without `ca`, by one that the
    system trusts.

    Args:
        settings: our own certificate, key and `ca`; None: we show no certificate.
        check_name: the peer's Subject Alternative Name has to name the host that is connected to.

    Raises:
        ConfigError: our own certificate, key or CA cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # RFC 9525: a name is a Subject Alternative Name
    context.check_hostname = check_name
    if settings is not None:
        _load(context, settings)
    if settings is None or settings.ca is None:
        context.load_default_certs()
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _load(context: ssl.SSLContext, settings: TLS) -> None:
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
            f"or are not in PEM format: {error.reason or 'no PEM block found'}"
        ) from error
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except ssl.SSLError as error:
            raise ConfigError(
                f"dicom.tls.ca {settings.ca} is not a certificate in PEM format"
            ) from error


def _readable(path: Path, key: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(f"dicom.tls.{key} {path} cannot be read: {error.strerror}") from error


def _no_password() -> str:
    raise ConfigError(
        "dicom.tls.key is encrypted, and the node cannot ask for its password: decrypt the file "
        "(openssl pkey -in KEY -out NEW)"
    )
