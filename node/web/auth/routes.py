"""The routes of login and logout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import HTMLResponse, RedirectResponse

from node.core.settings.http import Http
from node.web.auth.authenticator import CSRF, Authenticator
from node.web.auth.cookies import Cookies
from node.web.auth.login import Logins, TooMany
from node.web.auth.origins import is_foreign
from node.web.auth.secrets import derived, same
from node.web.http.problems import problem
from node.web.pages import filled
from node.web.roles import identity_of, role

_COMPARISONS: Final = 2  # of passwords at once, each of which takes 64 MiB and two cores' time
_MOST_BYTES: Final = 16384
_MOST_FIELDS: Final = 20
_WRONG: Final = "Name or password are wrong."
_FOREIGN: Final = "the form was sent by a page of another site: open /login yourself"


class SessionView(BaseModel):
    """Who asks, as the node knows them.

    Attributes:
        name: empty if nobody has to log in.
        role: viewer, operator or admin.
        csrf: for the header X-CSRF-Token of changing requests; empty: not needed.
    """

    name: str
    role: str
    csrf: str


def session_routes() -> APIRouter:
    """The route that tells who asks."""
    routes = APIRouter(prefix="/api")

    @routes.get("/session", openapi_extra=role("viewer"))
    def session(request: Request) -> SessionView:
        """Who asks, their role, and the CSRF token of the session."""
        identity = identity_of(request)
        return SessionView(name=identity.name, role=identity.role, csrf=identity.csrf)

    return routes


class LoginPage:
    """Draws the login page.

    Args:
        settings: `http`.
        provider: name of the OpenID provider; None: there is none.
    """

    def __init__(self, settings: Http, provider: str | None) -> None:
        self._auth = settings.auth
        self._provider = provider

    def show(
        self,
        status: int = 200,
        trouble: str = "",
        target: str = "/",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The page as an answer.

        Args:
            status: of HTTP.
            trouble: what went wrong; empty: nothing.
            target: where to go after the login.
            headers: of the answer.
        """
        local = self._auth is not None and self._auth.local
        text = filled("login.html", trouble=trouble, next=target, provider=self._provider or "",
                      oidc=with_target("/login/oidc", target))  # fmt: skip
        shown = {"trouble": bool(trouble), "local": local, "oidc": self._provider is not None}
        shown["proxy"] = not shown["local"] and not shown["oidc"]
        for part, is_shown in shown.items():
            text = text.replace(f"<!--{part}-->", "" if is_shown else " hidden")
        return HTMLResponse(text, status, dict(headers or {}))


def login_routes(
    settings: Http,
    logins: Logins,
    authenticator: Authenticator,
    cookies: Cookies,
    page: LoginPage,
) -> APIRouter:
    """The routes of login and logout.

    Args:
        settings: `http`; its `auth` is set.
        logins: begins and ends sessions.
        authenticator: knows the address behind a proxy.
        cookies: of this page.
        page: draws the form.
    """
    routes = APIRouter(include_in_schema=False)
    comparing = CapacityLimiter(_COMPARISONS)
    local = settings.auth is not None and settings.auth.local

    @routes.get("/login", openapi_extra=role("public"))
    def form(next: str = "/") -> Response:  # noqa: A002  the name of the parameter
        return page.show(target=own_target(next))

    @routes.post("/login", openapi_extra=role("public"))
    async def login(request: Request) -> Response:
        if is_foreign(request.headers, settings.public_url) or not local:
            return problem(request.headers, 403, _FOREIGN)
        fields = await form_fields(request)
        target = own_target(fields.get("next", "/"))
        name, password = fields.get("name", ""), fields.get("password", "")
        try:
            secret = await to_thread.run_sync(
                logins.by_password, name, password, authenticator.address(request),
                limiter=comparing,
            )  # fmt: skip
        except TooMany as limit:
            minutes = int(limit.seconds // 60) + 1
            trouble = f"Too many logins failed. Try again in {minutes} minutes."
            return page.show(429, trouble, target, {"Retry-After": str(int(limit.seconds) + 1)})
        if secret is None:
            return page.show(401, _WRONG, target)
        return await begun(request, logins, cookies, secret, target)

    @routes.post("/logout", openapi_extra=role("public"))
    async def logout(request: Request) -> Response:
        secret = cookies.session(request.cookies)
        answer = RedirectResponse("/login", 303)
        if not secret:
            return answer
        given = request.headers.get("x-csrf-token") or (await form_fields(request)).get(
            "csrf_token", ""
        )
        foreign = is_foreign(request.headers, settings.public_url)
        if foreign or not same(given, derived(secret, CSRF)):
            return problem(request.headers, 403, "the CSRF token is missing: load the page again")
        await to_thread.run_sync(logins.end, secret)
        cookies.end_session(answer)
        return answer

    return routes


async def begun(
    request: Request, logins: Logins, cookies: Cookies, secret: str, target: str
) -> Response:
    """Answer with the cookie of a session; the one before it in the same browser ends.

    Args:
        request: of the browser.
        logins: ends sessions.
        cookies: of this page.
        secret: of the session.
        target: where to go.
    """
    earlier = cookies.session(request.cookies)
    if earlier:
        await to_thread.run_sync(logins.end, earlier)
    answer = RedirectResponse(target, 303)
    cookies.begin_session(answer, secret, logins.seconds)
    return answer


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name; empty if it is none, or too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            return {}
    try:
        found = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {key: values[0] for key, values in found.items()}


def own_target(target: str) -> str:
    """A path of this page; `/` in place of everything that could lead elsewhere.

    Args:
        target: as a request has it.
    """
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    own = target.startswith("/") and not target.startswith("//") and "\\" not in target
    if not own or parts.scheme or parts.netloc or not target.isascii() or not target.isprintable():
        return "/"
    return "/" if parts.path.startswith(("/login", "/logout")) else target


def with_target(path: str, target: str) -> str:
    """A path that leads to a target after the login."""
    return path if target == "/" else f"{path}?{urlencode({'next': target})}"
