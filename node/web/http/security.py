"""Headers of every answer, and the check of the Host header against DNS rebinding."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.core.errors import error_reference, traced
from node.core.settings.host_names import Authority, is_loopback, read_authority
from node.core.settings.http import Http
from node.web.http.problems import problem

log = logging.getLogger(__name__)

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_REFUSAL: Final = (
    "The node does not accept this host name. "
    "If the name is right, add it to http.hosts in the configuration of the node."
)


# starlette's TrustedHostMiddleware compares names without their ports, accepts no range of
# addresses and reads only the first of several Host headers; `http.hosts` promises more.
class Security:
    """ASGI middleware: sets security headers and refuses unknown host names.

    A web site can make its own name point to this node (DNS rebinding) and would then read the
    page through the browser of a user who may. Such a request has the site's name in its Host
    header: so only known names are answered. It never has an address there, so addresses need no
    list.

    Args:
        app: answers the requests.
        settings: `http`. On a loopback `host` only loopback addresses are accepted in requests,
            elsewhere every address; `hosts` and `public_url` are further names.
    """

    def __init__(self, app: ASGIApp, settings: Http) -> None:
        self._app = app
        self._any_address = not is_loopback(settings.host)
        self._allowed = {read_authority(each) for each in settings.hosts}
        self._allowed |= {Authority(name, None) for name in ("localhost", settings.host.lower())}
        if settings.public_url is not None:
            self._allowed.add(read_authority(urlsplit(settings.public_url).netloc))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if not self._is_known(Headers(scope=scope).getlist("host")):
            await problem(Headers(scope=scope), 400, _REFUSAL)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  it costs this request
            # The error's text may quote a data set: neither the browser nor the log gets it.
            place = error_reference(error)
            log.error("a web request failed (reference %s): %s", place, traced(error))
            if not begun:
                sentence = f"an unforeseen error; look for reference {place} in the log"
                answer = problem(Headers(scope=scope), 500, sentence)
                await answer(scope, receive, send_with_headers)

    def _is_known(self, values: Sequence[str]) -> bool:
        """Whether the Host header names this page: once, and unambiguously."""
        asked = read_authority(values[0]) if len(values) == 1 else None
        if asked is None:
            return False
        if not self._allowed.isdisjoint({asked, Authority(asked.host, None)}):
            return True
        try:
            address = ip_address(asked.host)
        except ValueError:
            return False
        return self._any_address or address.is_loopback
