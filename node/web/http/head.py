"""HEAD: answered like GET, without the body (RFC 9110 9.3.2)."""

from __future__ import annotations

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware: answers HEAD by the routes of GET, and ends them after the headers.

    Args:
        app: answers the requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answering = CancelScope()
        start: Message | None = None

        async def send_headers(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body" and start is not None:
                await send(start)
                await send({"type": "http.response.body", "body": b""})
                start = None
                answering.cancel()

        with answering:
            await self._app({**scope, "method": "GET"}, receive, send_headers)
