"""Puts login and access together, from the settings."""

from __future__ import annotations

from fastapi import APIRouter

from node.core.settings.http import Http
from node.storage.access.accounts import Accounts
from node.web.auth.audit import Audit
from node.web.auth.authenticator import Authenticator
from node.web.auth.cookies import Cookies
from node.web.auth.login import Logins
from node.web.auth.oidc import oidc_routes
from node.web.auth.provider import Provider
from node.web.auth.routes import LoginPage, login_routes, session_routes


class Login:
    """All that knows users.

    Args:
        settings: `http`.
        accounts: of the node; not used without `http.auth`.

    Attributes:
        audit: writes who did what.
        authenticator: finds out who sends a request; None: nobody has to log in.
        routes: login, logout and session.

    Raises:
        ConfigError: the secret of the OpenID client cannot be read.
    """

    def __init__(self, settings: Http, accounts: Accounts | None) -> None:
        self.audit = Audit()
        self.authenticator: Authenticator | None = None
        self.routes: list[APIRouter] = [session_routes()]
        auth = settings.auth
        if auth is None or accounts is None:
            if auth is not None:
                raise ValueError("http.auth needs the accounts of the node")
            return
        cookies = Cookies(https=settings.is_https)
        self.authenticator = Authenticator(settings, accounts, cookies)
        logins = Logins(accounts, self.audit, settings.session_seconds)
        provider = None if auth.oidc is None else Provider(auth.oidc)
        page = LoginPage(settings, None if provider is None else provider.name)
        self.routes.append(login_routes(settings, logins, self.authenticator, cookies, page))
        if auth.oidc is not None and provider is not None:
            self.routes.append(
                oidc_routes(
                    settings, auth.oidc, provider, logins, self.authenticator, cookies, page
                )
            )
