"""Check host names, networks and certificates in the configuration."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_MOST = 253  # characters, RFC 1035
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")  # no host name: a part of one has 63 characters at most
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?", re.ASCII)
"""Host and port as the Host header has them (RFC 3986 3.2.2, without percent-encoding)."""


class Authority(NamedTuple):
    """Host and port by which a browser calls the page.

    Attributes:
        host: a name in lower case, or an address as `ipaddress` writes it, without brackets.
        port: None if no port is stated.
    """

    host: str
    port: int | None


def read_authority(value: str) -> Authority | None:
    """Read a Host header; None unless every character belongs to a host or a port.

    Examples:
        >>> read_authority("[fd00::5]:8080")
        Authority(host='fd00::5', port=8080)
        >>> read_authority("node.example/path") is None
        True
    """
    found = _AUTHORITY.fullmatch(value)
    if found is None:
        return None
    bracketed, plain, digits = found.groups()
    port = None if digits is None else int(digits)
    if port is not None and port > 65535:
        return None
    try:
        host = str(ipaddress.IPv6Address(bracketed) if bracketed else ipaddress.IPv4Address(plain))
    except ValueError:
        if bracketed:
            return None
        host = plain.lower()
    return Authority(host, port)


def is_loopback(host: str) -> bool:
    """Whether an address belongs to this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_page_host(value: str) -> str:
    """Check a name or address of the page, with or without a port.

    Raises:
        ValueError: it is neither.
    """
    if read_authority(_bracketed(value)) is None:
        raise ValueError(
            "a host of the page is a name or address, with or without a port: "
            "node.example, node.example:8080 or [fd00::5]:8080"
        )
    return _bracketed(value)


def _bracketed(value: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(value)}]"
    except ValueError:
        return value


def check_host(value: str) -> str:
    """Check an address, or a name that can be looked up.

    Raises:
        ValueError: it is neither.
    """
    try:
        ipaddress.ip_address(value)
    except ValueError:
        _check_name(value)
    return value


def check_host_or_network(value: str) -> str:
    """Check an address, a name, or a network such as 10.20.0.0/16.

    Raises:
        ValueError: it is none of these.
    """
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        _check_name(value)
    return value


def check_certificate(value: str) -> str:
    """Check a peer's certificate: SHA-256 fingerprint, with or without colons, or a name in it.

    Returns:
        a fingerprint as 64 hexadecimal digits in lower case; a name unchanged.

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
    rule = "a host is a name such as pacs.example, or an address such as 10.0.0.5"
    if not value or not value.isprintable() or set(value) & set(" /\\@[]"):
        raise ValueError(rule)
    try:
        encoded = value.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{rule}; each part between two dots has 1 to 63 characters") from error
    if len(encoded) > _MOST:
        raise ValueError(f"{rule}, of at most {_MOST} characters")
