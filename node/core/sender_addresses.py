"""Addresses of senders, by which quotas count, as a sender can choose any AE title."""

from __future__ import annotations

import ipaddress
from typing import Final

IMPORTED: Final = "import"
"""In place of an address for instances that were imported from files."""
EARLIER: Final = "earlier"
"""In place of an address that an earlier version did not record."""


def neighbourhood(address: str) -> str:
    """Return the addresses that one machine can choose from: for IPv6, its /64 network."""
    try:
        plain = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(plain, ipaddress.IPv4Address):
        return str(plain)
    if plain.ipv4_mapped is not None:
        return str(plain.ipv4_mapped)
    return str(ipaddress.ip_network((plain, 64), strict=False))
