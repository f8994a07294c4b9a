"""Checks ID tokens of an OpenID provider (OpenID Connect Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from node.core.errors import Permanent
from node.core.plain_text import plain
from node.core.settings.http import Oidc
from node.web.roles import Role

Key = RSAKey | ECKey | OKPKey

_ALGORITHMS: Final = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
]
"""Signatures by a key that only the provider has: neither `none`, nor those by a shared secret, for
which everybody's public key could be taken."""
_SKEW_SECONDS: Final = 60  # by which the clocks of provider and node may differ
_MOST: Final = 65536  # characters of a token
_LONGEST_NAME: Final = 64
_NAMES: Final = ("preferred_username", "email", "sub")


class TokenRefused(Permanent):
    """An ID token that proves nothing; the text says why, without what is in it."""


class UnknownKey(TokenRefused):
    """The token is signed by a key that is not among those of the provider."""


def usable_keys(document: Mapping[str, Any]) -> list[Key]:
    """The keys of a JWK Set (RFC 7517) that can sign an ID token.

    Args:
        document: what the provider answers.
    """
    found: list[Key] = []
    listed = document.get("keys")
    for each in listed if isinstance(listed, list) else []:
        try:
            key = import_key(each)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue  # of a kind that is not used here
        if isinstance(key, RSAKey | ECKey | OKPKey) and each.get("use", "sig") == "sig":
            found.append(key)
    return found


def claims_of(text: str, keys: Sequence[Key], settings: Oidc, nonce: str) -> dict[str, Any]:
    """The claims of an ID token, once all of them are proven.

    Args:
        text: the token.
        keys: of the provider.
        settings: `http.auth.oidc`.
        nonce: that this login sent.

    Raises:
        UnknownKey: no key has the token's `kid`.
        TokenRefused: signature, issuer, audience, nonce or time are wrong.
    """
    if len(text) > _MOST:
        raise TokenRefused("the ID token is too long")
    claims = _signed(text, keys)
    expected = jwt.JWTClaimsRegistry(
        now=int(time.time()),
        leeway=_SKEW_SECONDS,
        iss={"essential": True, "value": settings.issuer},
        aud={"essential": True, "value": settings.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        expected.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        claim = plain(getattr(error, "claim", "") or "claims")[:_LONGEST_NAME]
        raise TokenRefused(f"the ID token's {claim} is missing, wrong or out of time") from error
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    party = claims.get("azp")
    if (several or party is not None) and party != settings.client_id:
        raise TokenRefused("the ID token is for another client (azp)")
    return claims


def name_of(claims: Mapping[str, Any]) -> str:
    """The name under which the node knows a user of the provider."""
    for key in _NAMES:
        value = claims.get(key)
        if isinstance(value, str) and value.strip():
            return plain(value.strip())[:_LONGEST_NAME]
    raise TokenRefused("the ID token names no user")


def role_in(claims: Mapping[str, Any], settings: Oidc) -> Role | None:
    """The highest role that the claim gives; None: none of this node.

    Args:
        claims: of the token.
        settings: `http.auth.oidc`.
    """
    value: Any = claims.get(settings.roles_claim)
    if value is None:
        value = claims
        for part in settings.roles_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    given = {value} if isinstance(value, str) else set()
    if isinstance(value, list):
        given = {each for each in value if isinstance(each, str)}
    for one, wanted in (
        (Role.ADMIN, settings.roles.admin),
        (Role.OPERATOR, settings.roles.operator),
        (Role.VIEWER, settings.roles.viewer),
    ):
        if not given.isdisjoint(wanted):
            return one
    return None


def _signed(text: str, keys: Sequence[Key]) -> dict[str, Any]:
    try:
        header = jws.extract_compact(text.encode("ascii")).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefused("the ID token cannot be read") from error
    if header.get("alg") not in _ALGORITHMS:
        raise TokenRefused("the ID token is not signed by a key of the provider (alg)")
    kid = header.get("kid")
    fitting = [key for key in keys if kid is None or key.kid == kid]
    if not fitting:
        raise UnknownKey("the ID token is signed by a key that the provider does not publish")
    for key in fitting:
        try:
            return dict(jwt.decode(text, key, algorithms=_ALGORITHMS).claims)
        except (JoseError, ValueError, TypeError):
            continue
    raise TokenRefused("the signature of the ID token is wrong")
