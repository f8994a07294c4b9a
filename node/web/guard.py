"""What every answer carries, and who may ask: text from peers is hostile, and so are web sites."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.core.errors import error_reference, traced
from node.core.settings.host_names import Authority, read_authority

log = logging.getLogger(__name__)

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_REFUSAL: Final = (
    "This page is not known by the name that it was asked for. "
    "If that name is right, add it to http.hosts in the configuration of the node.\n"
)


class Guard:
    """ASGI middleware.

    A web site can make its own name point to this node (DNS rebinding) and would then read the
    page through the browser of somebody who is allowed to. Such a request names the site: so only
    names that are known are answered. A rebound name is never an address, which needs no list.

    Args:
        host: the address that the page is served on. On a loopback address nobody may be asked for
            but this machine; elsewhere every address may.
        hosts: further names and addresses, with a port or for any, as `http.hosts` has them.
    """

    def __init__(self, app: ASGIApp, host: str, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._any_address = not is_loopback(host)
        self._allowed = {read_authority(each) for each in hosts}
        self._allowed |= {Authority(name, None) for name in ("localhost", host.lower())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if not self._is_meant(Headers(scope=scope).getlist("host")):
            await PlainTextResponse(_REFUSAL, 400)(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001  it costs this request
            # Neither the browser nor the log gets the error's text, which may quote a data set.
            place = error_reference(error)
            log.error("a request failed (reference %s): %s", place, traced(error))
            if not begun:
                said = {"detail": f"an error that nobody foresaw; reference {place} in the log"}
                await JSONResponse(said, 500)(scope, receive, send_guarded)

    def _is_meant(self, said: Sequence[str]) -> bool:
        """Whether a request names this page, once and in a way that can be read in one way only."""
        asked = read_authority(said[0]) if len(said) == 1 else None
        if asked is None:
            return False
        if not self._allowed.isdisjoint({asked, Authority(asked.host, None)}):
            return True
        try:
            address = ip_address(asked.host)
        except ValueError:
            return False
        return self._any_address or address.is_loopback


def is_loopback(host: str) -> bool:
    """Whether an address reaches no other machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
