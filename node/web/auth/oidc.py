"""Login at an OpenID provider: code flow with PKCE, state and nonce.

The browser keeps one random secret in a cookie; state, nonce and PKCE's verifier follow from it. So
the node keeps nothing for logins that have begun, and another browser cannot end one.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import quote, unquote

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from node.core.settings.http import Http, Oidc
from node.web.auth.authenticator import Authenticator
from node.web.auth.cookies import Cookies
from node.web.auth.id_token import TokenRefused, name_of, role_in
from node.web.auth.login import Logins
from node.web.auth.provider import Provider, ProviderUnavailable
from node.web.auth.routes import LoginPage, begun, own_target
from node.web.auth.secrets import LONGEST, derived, new_secret, same
from node.web.roles import Role, role

CALLBACK: Final = "/login/oidc/callback"
_CODE: Final = re.compile(r"[a-z_]{1,40}")  # an error of RFC 6749 4.1.2.1
_BROKEN_OFF: Final = "The login has taken too long or was begun in another browser. Log in again."


def oidc_routes(
    settings: Http,
    oidc: Oidc,
    provider: Provider,
    logins: Logins,
    authenticator: Authenticator,
    cookies: Cookies,
    page: LoginPage,
) -> APIRouter:
    """The routes to the provider and back.

    Args:
        settings: `http`.
        oidc: `http.auth.oidc`.
        provider: of these settings.
        logins: begins sessions.
        authenticator: knows the address behind a proxy.
        cookies: of this page.
        page: shows what went wrong.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/login/oidc", openapi_extra=role("public"))
    async def begin(request: Request, next: str = "/") -> Response:  # noqa: A002
        secret = new_secret()
        try:
            to = await provider.authorization_url(
                redirect=_redirect(request, settings),
                state=derived(secret, "state"),
                nonce=derived(secret, "nonce"),
                challenge=_challenge(derived(secret, "verifier")),
            )
        except ProviderUnavailable as error:
            return page.show(503, f"You cannot log in now: {error}.")
        answer = RedirectResponse(to, 303)
        kept = f"{secret}.{quote(own_target(next), safe='')}"
        cookies.begin_login(answer, kept if len(kept) <= LONGEST else secret)
        return answer

    @routes.get(CALLBACK, openapi_extra=role("public"))
    async def end(request: Request) -> Response:
        answer = await finished(request)
        cookies.end_login(answer)
        return answer

    async def finished(request: Request) -> Response:
        secret, _, target = cookies.login(request.cookies).partition(".")
        asked = request.query_params
        begun_here = bool(secret) and same(asked.get("state", ""), derived(secret, "state"))
        if not begun_here or asked.get("iss", oidc.issuer) != oidc.issuer:  # RFC 9207
            return page.show(400, _BROKEN_OFF)
        if "error" in asked:
            said = asked["error"] if _CODE.fullmatch(asked["error"]) else "an error"
            return page.show(403, f"The provider has not let you in: {said}.")
        try:
            name, granted = await proven(request, secret)
        except TokenRefused as error:
            return page.show(403, f"The login is not valid: {error}.")
        except ProviderUnavailable as error:
            return page.show(503, f"You cannot log in now: {error}.")
        if granted is None:
            return page.show(403, f"The provider knows {name}, but gives no role of this node.")
        session = await to_thread.run_sync(
            logins.by_provider, name, granted, authenticator.address(request)
        )
        return await begun(request, logins, cookies, session, own_target(unquote(target) or "/"))

    async def proven(request: Request, secret: str) -> tuple[str, Role | None]:
        """Name and role of the user, by the ID token that the code stands for."""
        claims = await provider.claims(
            code=request.query_params.get("code", ""),
            redirect=_redirect(request, settings),
            verifier=derived(secret, "verifier"),
            nonce=derived(secret, "nonce"),
        )
        return name_of(claims), role_in(claims, oidc)

    return routes


def _redirect(request: Request, settings: Http) -> str:
    """Where the provider sends the browser to: an address of this page, whose name is checked."""
    scheme = "https" if settings.is_https else "http"
    base = settings.public_url or f"{scheme}://{request.headers.get('host', '')}"
    return base + CALLBACK


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
