"""Talks with the OpenID provider: its discovery document, its keys and its tokens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx

from node.core.errors import Retryable
from node.core.plain_text import plain
from node.core.settings.host_names import is_loopback
from node.core.settings.http import Oidc
from node.web.auth.client_secret import client_secret
from node.web.auth.id_token import Key, TokenRefused, UnknownKey, claims_of, usable_keys

REQUEST_SECONDS: Final = 4.0
"""For one request; a login needs three at most, within the deadline of the page's requests."""
FRESH_SECONDS: Final = 3600.0
"""How long discovery document and keys are used before they are asked for again."""
LEAST_SECONDS: Final = 5.0
"""Between two requests for the keys, or after one that failed: logins must not flood a provider."""
_MOST_BYTES: Final = 1 << 20
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderUnavailable(Retryable):
    """The provider does not answer, or not as OpenID Connect says."""


class Provider:
    """The provider of `http.auth.oidc`. For one event loop.

    Args:
        settings: `http.auth.oidc`.
        clock: monotonic seconds.

    Raises:
        ConfigError: the file of the client's secret cannot be read.
    """

    def __init__(self, settings: Oidc, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._secret = client_secret(settings)
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, list[Key]] | None = None
        self._failed: tuple[float, str] | None = None
        self._tls: Any = None

    @property
    def name(self) -> str:
        """How the login page names it."""
        return urlsplit(self._settings.issuer).netloc

    async def authorization_url(
        self, *, redirect: str, state: str, nonce: str, challenge: str
    ) -> str:
        """Where the browser goes to log in (RFC 6749 4.1.1, RFC 7636 4.3).

        Raises:
            ProviderUnavailable: the provider does not answer.
        """
        base = (await self._discovered())["authorization_endpoint"]
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._settings.client_id,
                "redirect_uri": redirect,
                "scope": " ".join(dict.fromkeys(["openid", *self._settings.scopes])),
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return f"{base}{'&' if '?' in base else '?'}{query}"

    async def claims(
        self, *, code: str, redirect: str, verifier: str, nonce: str
    ) -> dict[str, Any]:
        """The proven claims of the ID token that a code stands for.

        Raises:
            TokenRefused: the code or the token is wrong.
            ProviderUnavailable: the provider does not answer.
        """
        text = await self._token(code, redirect, verifier)
        try:
            return claims_of(text, await self._known_keys(), self._settings, nonce)
        except UnknownKey:  # the provider may have a new one
            return claims_of(text, await self._known_keys(again=True), self._settings, nonce)

    async def _token(self, code: str, redirect: str, verifier: str) -> str:
        metadata = await self._discovered()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        ways = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" in ways:
            pair = (quote(self._settings.client_id, safe=""), quote(self._secret, safe=""))
            auth: httpx.Auth | None = httpx.BasicAuth(*pair)
        else:
            auth = None
            form |= {"client_id": self._settings.client_id, "client_secret": self._secret}
        status, answer = await self._asked(
            metadata["token_endpoint"], urlencode(form).encode(), headers, auth
        )
        text = answer.get("id_token")
        if 400 <= status < 500:
            said = plain(answer.get("error", ""))[:40]
            raise TokenRefused(f"the provider refuses the code ({status} {said})")
        if status != 200 or not isinstance(text, str):
            raise ProviderUnavailable(f"the login provider answers the code with status {status}")
        return text

    async def _known_keys(self, *, again: bool = False) -> Sequence[Key]:
        now = self._clock()
        age = FRESH_SECONDS if self._keys is None else now - self._keys[0]
        if self._keys is None or age >= FRESH_SECONDS or (again and age >= LEAST_SECONDS):
            url = (await self._discovered())["jwks_uri"]
            self._keys = (now, usable_keys(await self._document(url)))
        return self._keys[1]

    async def _discovered(self) -> dict[str, Any]:
        """The discovery document (OpenID Connect Discovery 1.0, 4)."""
        now = self._clock()
        if self._metadata is not None and now - self._metadata[0] < FRESH_SECONDS:
            return self._metadata[1]
        if self._failed is not None and now - self._failed[0] < LEAST_SECONDS:
            raise ProviderUnavailable(self._failed[1])
        issuer = self._settings.issuer
        try:
            found = await self._document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            self._check(found)
        except ProviderUnavailable as error:
            self._failed = (self._clock(), str(error))
            raise
        self._metadata, self._failed = (now, found), None
        return found

    def _check(self, found: Mapping[str, Any]) -> None:
        if found.get("issuer") != self._settings.issuer:
            raise ProviderUnavailable(
                "the login provider calls itself by another issuer than http.auth.oidc.issuer"
            )
        for key in _ENDPOINTS:
            if not _is_safe(found.get(key)):
                raise ProviderUnavailable(f"the login provider's {key} is no https URL")

    async def _document(self, url: str) -> dict[str, Any]:
        status, found = await self._asked(url)
        if status != 200:
            raise ProviderUnavailable(f"the login provider answers with status {status}")
        return found

    async def _asked(
        self,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send one request; asyncio's deadline covers all of it, httpx's only each part."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        own = is_loopback(urlsplit(url).hostname or "")
        request = httpx.Request(
            "GET" if body is None else "POST",
            url,
            content=body,
            headers={"Accept": "application/json", **(headers or {})},
        )
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                httpx.AsyncClient(verify=self._tls, timeout=None, trust_env=not own) as client,  # noqa: S113
            ):
                response = await client.send(request, auth=auth, stream=True)
                return response.status_code, await _read(response)
        except TimeoutError as error:
            raise ProviderUnavailable("the login provider does not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ProviderUnavailable("the login provider cannot be reached") from error


async def _read(response: httpx.Response) -> dict[str, Any]:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > _MOST_BYTES:
            raise ProviderUnavailable("the login provider's answer is too long")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if response.status_code == 200:
        raise ProviderUnavailable("the login provider's answer is no JSON object")
    return {}


def _is_safe(url: object) -> bool:
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
