"""Certificate and key of the page (`http.tls`): TLS 1.2 or later, with forward secrecy."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from node.core.errors import ConfigError
from node.core.settings.http import HttpTLS

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2 (RFC 9325); TLS 1.3 has no others."""


class PageCertificate:
    """The TLS context of the page.

    Args:
        settings: `http.tls`.

    Attributes:
        context: of all connections; `load` changes what it shows in new ones.

    Raises:
        ConfigError: certificate or key cannot be used.
    """

    def __init__(self, settings: HttpTLS) -> None:
        self._settings = settings
        self.context = self._new()

    def for_uvicorn(self, *_: object) -> ssl.SSLContext:
        """The context; uvicorn calls this in place of making one."""
        return self.context

    def load(self) -> None:
        """Take what the files have now.

        Raises:
            ConfigError: certificate or key cannot be used; the earlier ones stay.
        """
        self._new()  # a context that has taken half of a wrong pair would be left with it
        self._fill(self.context)

    def _new(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        self._fill(context)
        return context

    def _fill(self, context: ssl.SSLContext) -> None:
        files = (self._settings.certificate, self._settings.key)
        for path, key in zip(files, ("certificate", "key"), strict=True):
            _check_readable(path, key)
        try:
            context.load_cert_chain(*files, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(
                f"{files[0]} (http.tls.certificate) and {files[1]} (http.tls.key) cannot be used: "
                f"{error}; they have to be a PEM certificate and its key without a password"
            ) from error


def _check_readable(path: Path, key: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} (http.tls.{key}) cannot be read: {error.strerror}") from error


def _no_password() -> str:
    raise ValueError("the key has a password")
