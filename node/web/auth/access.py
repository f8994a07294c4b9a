"""The one place that lets requests in: by the role that the route states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.core.errors import NodeError
from node.web.auth.audit import Audit
from node.web.auth.authenticator import Authenticator, NotLetIn
from node.web.auth.origins import is_foreign
from node.web.auth.secrets import same
from node.web.http.problems import problem, wants_page
from node.web.roles import OF_REQUEST, Identity, Role, role_of

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_THREADS: Final = 8  # that look up tokens and sessions at once; further requests wait
_CSRF_HEADER: Final = "x-csrf-token"
_BEARER: Final = {"WWW-Authenticate": 'Bearer realm="rasnode"'}


class Access:
    """ASGI middleware: refuses requests of those who lack the role that the route states.

    A route that states no role is refused for everybody. It stands before the routes, so that the
    body of a request that is refused is not read.

    Args:
        app: answers the requests.
        routes: those of the application.
        authenticator: finds out who sends a request; None: nobody has to log in, and nothing can
            be changed.
        audit: writes who did what.
        public_url: `http.public_url`.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Callable[[], Sequence[BaseRoute]],
        authenticator: Authenticator | None,
        audit: Audit,
        public_url: str | None = None,
    ) -> None:
        self._app = app
        self._routes = routes
        self._authenticator = authenticator
        self._audit = audit
        self._public_url = public_url
        self._limiter = CapacityLimiter(_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        route, params = _found(self._routes(), scope)
        needed = Role.VIEWER if route is None else role_of(route)
        if needed is Role.PUBLIC:
            await self._app(scope, receive, send)
            return
        status = 500
        identity: Identity | None = None

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            identity, refusal = await self._judged(request, needed, known=route is not None)
            if refusal is None:
                scope[OF_REQUEST] = identity
            await (refusal or self._app)(scope, receive, noting)
        finally:
            if self._authenticator is not None:
                template = getattr(route, "path", "")
                self._audit.request(identity, request.method, template, params, status)

    async def _judged(
        self, request: Request, needed: Role | None, *, known: bool
    ) -> tuple[Identity | None, Response | None]:
        """Who sent a request, and the refusal if they may not."""
        if needed is None:
            return None, problem(
                request.headers, 403, "this route states no role, so nobody may use it"
            )
        if self._authenticator is None:
            return Identity(), self._without_login(request, needed, known=known)
        try:
            identity = await to_thread.run_sync(
                self._authenticator.identity, request, limiter=self._limiter
            )
        except NotLetIn as error:
            more = _BEARER if error.status == 401 else None
            return None, problem(request.headers, error.status, error.sentence, more)
        except NodeError as error:
            return None, problem(request.headers, 503, str(error))
        return identity, self._refused(request, identity, needed)

    def _refused(
        self, request: Request, identity: Identity | None, needed: Role
    ) -> Response | None:
        """The refusal of somebody who may not, or of a request that they did not mean."""
        if identity is None:
            return _to_login(request)
        if not identity.role.includes(needed):
            sentence = f"this is for the role {needed}; {identity.name} is {identity.role}"
            return problem(request.headers, 403, sentence)
        return self._forged(request, identity)

    def _without_login(self, request: Request, needed: Role, *, known: bool) -> Response | None:
        """The refusal of what a page without login does not do."""
        if not known or Identity().role.includes(needed):
            return None
        return problem(
            request.headers,
            403,
            "nobody has to log in here, so the page only reads; set http.auth in the configuration "
            "of the node",
        )

    def _forged(self, request: Request, identity: Identity) -> Response | None:
        """The refusal of a change that another site may have made a browser ask for."""
        if request.method in READING or not identity.csrf:
            return None
        if is_foreign(request.headers, self._public_url):
            return problem(request.headers, 403, "a page of another site may change nothing here")
        given = request.headers.getlist(_CSRF_HEADER)
        if len(given) == 1 and same(given[0], identity.csrf):
            return None
        return problem(
            request.headers,
            403,
            "the CSRF token is missing or that of another session: load the page again (programs "
            "send X-CSRF-Token, or better use a token of `rasnode user token`)",
        )


def _found(routes: Sequence[BaseRoute], scope: Scope) -> tuple[BaseRoute | None, dict[str, str]]:
    """The route of a request and the values in its path; one of another method if none fits."""
    asked = dict(scope)
    if scope["method"] == "HEAD":
        asked["method"] = "GET"
    other: tuple[BaseRoute | None, dict[str, str]] = (None, {})
    for route in routes:
        match, child = route.matches(asked)
        if match is Match.FULL:
            return route, child.get("path_params", {})
        if match is Match.PARTIAL and other[0] is None:
            other = (route, child.get("path_params", {}))
    return other


def _to_login(request: Request) -> Response:
    """Lead a browser to the login; tell a program that it needs a token."""
    if request.method in READING and wants_page(request.headers):
        path = request.url.path
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/login?next={quote(path + query, safe='/')}", 303)
    return problem(
        request.headers,
        401,
        "log in, or send Authorization: Bearer with a token of `rasnode user token`",
        _BEARER,
    )
