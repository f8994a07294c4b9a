"""Finds out who sent a request: by a token, a session, or what a trusted proxy says."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from node.core.plain_text import plain
from node.core.settings.http import Http, ProxyLogin
from node.storage.access.accounts import Accounts, Grant
from node.web.auth.cookies import Cookies
from node.web.auth.secrets import LONGEST, derived, digest_of
from node.web.roles import Identity, Role, Way

_LONGEST_NAME: Final = 64
CSRF: Final = "csrf"


class NotLetIn(Exception):
    """The sender is known to nobody, or may nothing.

    Attributes:
        status: HTTP status of the answer.
        sentence: what to do.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Authenticator:
    """Finds out who sent a request. Safe for threads.

    Args:
        settings: `http`; its `auth` is set.
        accounts: of the node.
        cookies: of this page.
    """

    def __init__(self, settings: Http, accounts: Accounts, cookies: Cookies) -> None:
        self._accounts = accounts
        self._cookies = cookies
        self._sessions = bool(settings.auth and (settings.auth.local or settings.auth.oidc))
        self._proxy = settings.auth.proxy if settings.auth else None
        self._trusted = [ip_network(one) for one in (self._proxy.trusted if self._proxy else ())]
        self._secret: bytes | None = None

    def identity(self, request: Request) -> Identity | None:
        """Who sent a request; None: nobody who is known.

        Raises:
            NotLetIn: a token or what the proxy says is wrong.
            AccessUnavailable: the file of users cannot be read now.
        """
        if "authorization" in request.headers:
            return self._by_token(request.headers.getlist("authorization"))
        if self._proxy is not None and self.is_trusted(request):
            found = self._by_proxy(request.headers, self._proxy)
            if found is not None:
                return found
        return self._by_session(request) if self._sessions else None

    def address(self, request: Request) -> str:
        """The address of the sender: behind a trusted proxy, the one that the proxy names."""
        peer = request.client.host if request.client else ""
        if self.is_trusted(request):
            named = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
            return named[:_LONGEST_NAME] or peer
        return peer

    def is_trusted(self, request: Request) -> bool:
        """Whether a request comes from the reverse proxy of `http.auth.proxy`."""
        try:
            peer = ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)

    def _by_token(self, values: Sequence[str]) -> Identity:
        scheme, _, token = values[0].partition(" ")
        grant = None
        if len(values) == 1 and scheme.lower() == "bearer" and 0 < len(token) <= LONGEST:
            grant = self._accounts.by_token(digest_of(token))
        if grant is None:
            raise NotLetIn(
                401, "the token is wrong or has ended; `rasnode user token NAME` makes one"
            )
        return _identity(grant, Way.TOKEN, "")

    def _by_session(self, request: Request) -> Identity | None:
        secret = self._cookies.session(request.cookies)
        grant = self._accounts.by_session(digest_of(secret)) if secret else None
        return None if grant is None else _identity(grant, Way.SESSION, derived(secret, CSRF))

    def _by_proxy(self, headers: Headers, proxy: ProxyLogin) -> Identity | None:
        users, roles = headers.getlist(proxy.user_header), headers.getlist(proxy.roles_header)
        if len(users) > 1 or len(roles) > 1:
            raise NotLetIn(
                400, "the proxy's headers are there twice: let it remove those of the client"
            )
        name = plain(users[0].strip())[:_LONGEST_NAME] if users else ""
        if not name:
            return None
        named = {each.strip().lower() for each in roles[0].split(",")} if roles else set()
        known = [each for each in (Role.ADMIN, Role.OPERATOR, Role.VIEWER) if each in named]
        if not known:
            raise NotLetIn(
                403, f"the proxy gives {name} no role of this node: viewer, operator or admin"
            )
        if self._secret is None:
            self._secret = self._accounts.secret()
        csrf = derived(self._secret, f"{CSRF} {name}")
        return _identity(Grant(name, known[0]), Way.PROXY, csrf)


def _identity(grant: Grant, way: Way, csrf: str) -> Identity:
    return Identity(grant.name, Role(grant.role), identifiers=True, way=way, csrf=csrf)
