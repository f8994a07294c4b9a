"""Host names and certificates of peers as they may stand in the configuration."""

from __future__ import annotations

import ipaddress
import re

_MOST = 253  # characters, RFC 1035
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")  # no host name: a part of one has 63 characters at most


def check_host(value: str) -> str:
    """See that a value is an address or a name that can be looked up.

    Raises:
        ValueError: it is neither, so that a look-up would end in an error of its own kind.
    """
    try:
        ipaddress.ip_address(value)
    except ValueError:
        _check_name(value)
    return value


def check_host_or_network(value: str) -> str:
    """The same, where all addresses of a network may be meant: 10.20.0.0/16.

    Raises:
        ValueError: it is nothing of that.
    """
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        _check_name(value)
    return value


def check_certificate(value: str) -> str:
    """Which certificate a peer shows: its SHA-256 fingerprint, with colons or without, or a name.

    Returns:
        A fingerprint as 64 hexadecimal digits in lower case, a name as it is.

    Raises:
        ValueError: it is neither.
    """
    plain = value.replace(":", "").lower()
    if _FINGERPRINT.fullmatch(plain):
        return plain
    try:
        return check_host(value)
    except ValueError:
        raise ValueError(
            "a SHA-256 fingerprint of 64 hexadecimal digits, or a name of the certificate's "
            "Subject Alternative Name"
        ) from None


def _check_name(value: str) -> None:
    said = "a host is a name such as pacs.example, or an address such as 10.0.0.5"
    if not value or not value.isprintable() or set(value) & set(" /\\@[]"):
        raise ValueError(said)
    try:
        encoded = value.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{said}; each part between two dots has 1 to 63 characters") from error
    if len(encoded) > _MOST:
        raise ValueError(f"{said}, of at most {_MOST} characters")
