"""The cookies of sessions and of a login that has begun at another place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from node.web.auth.secrets import LONGEST

LOGIN_SECONDS: Final = 600
"""How long a login at a provider may take."""
_SESSION: Final = "rasnode_session"
_LOGIN: Final = "rasnode_login"


class Cookies:
    """Sets and reads the cookies, with the attributes that this page needs.

    `__Host-` (RFC 6265bis 4.1.3.2) keeps other hosts of the domain from setting them; browsers
    accept it by HTTPS alone. SameSite is Lax and not Strict, as a browser that comes back from a
    provider's login would not send a strict cookie.

    Args:
        https: whether browsers reach the page by HTTPS.
    """

    def __init__(self, *, https: bool) -> None:
        self._https = https
        self._prefix = "__Host-" if https else ""

    def session(self, cookies: Mapping[str, str]) -> str:
        """The secret of the session; empty: there is none."""
        return self._read(cookies, _SESSION)

    def login(self, cookies: Mapping[str, str]) -> str:
        """The secret of a login that has begun; empty: there is none."""
        return self._read(cookies, _LOGIN)

    def begin_session(self, response: Response, secret: str, seconds: float) -> None:
        """Let the browser keep the secret of a session."""
        self._set(response, _SESSION, secret, int(seconds))

    def begin_login(self, response: Response, secret: str) -> None:
        """Let the browser keep the secret of a login until it comes back."""
        self._set(response, _LOGIN, secret, LOGIN_SECONDS)

    def end_session(self, response: Response) -> None:
        """Let the browser forget the session."""
        self._set(response, _SESSION, "", 0)

    def end_login(self, response: Response) -> None:
        """Let the browser forget the login."""
        self._set(response, _LOGIN, "", 0)

    def _read(self, cookies: Mapping[str, str], name: str) -> str:
        value = cookies.get(self._prefix + name, "")
        return value if len(value) <= LONGEST else ""

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            self._prefix + name,
            value,
            max_age=seconds,
            path="/",
            secure=self._https,
            httponly=True,
            samesite="lax",
        )
