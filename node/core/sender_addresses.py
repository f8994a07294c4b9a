"""Whom what comes in counts for, where each sender may leave so much: addresses, since titles are
whatever a sender says."""

from __future__ import annotations

import ipaddress
from typing import Final

IMPORTED: Final = "import"
"""Stands for the sender of what came from files, and not by an association."""
EARLIER: Final = "earlier"
"""Stands for a sender that an earlier version did not note."""


def neighbourhood(address: str) -> str:
    """What one machine's owner may choose addresses from: of IPv6, the first 64 bits."""
    try:
        plain = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(plain, ipaddress.IPv4Address):
        return str(plain)
    if plain.ipv4_mapped is not None:
        return str(plain.ipv4_mapped)
    return str(ipaddress.ip_network((plain, 64), strict=False))
