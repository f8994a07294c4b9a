"""Whether a request comes from a page of this node, as browsers say (Fetch, Sec-Fetch-Site)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from node.core.settings.host_names import read_authority

_FOREIGN: Final = frozenset({"cross-site", "same-site"})
_PORTS: Final = {"http": 80, "https": 443}


def is_foreign(headers: Headers, public_url: str | None = None) -> bool:
    """Whether a browser says that a page of another site sent a request.

    Programs that are no browsers say nothing; they have no cookies of anybody else either.

    Args:
        headers: of the request; its Host header has been checked.
        public_url: `http.public_url`.
    """
    if headers.get("sec-fetch-site", "").lower() in _FOREIGN:
        return True
    origins = headers.getlist("origin")
    if not origins:
        return False
    return len(origins) > 1 or not _is_own(origins[0], headers.get("host", ""), public_url)


def _is_own(origin: str, host: str, public_url: str | None) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if public_url is not None and origin.lower() == public_url.lower():
        return True
    asked, own = read_authority(parts.netloc), read_authority(host)
    if asked is None or own is None or parts.scheme not in _PORTS:
        return False
    # A browser leaves the usual port out, in both.
    return asked.host == own.host and asked.port == own.port
