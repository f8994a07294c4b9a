"""Secrets of sessions, tokens and forms, and what is derived from them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from typing import Final

LONGEST: Final = 200
"""Characters of a token or cookie that is looked at at all."""


def new_secret() -> str:
    """256 random bits as 43 characters."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """SHA-256 of a secret, in hexadecimal digits. Of 256 random bits nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def derived(secret: str | bytes, purpose: str) -> str:
    """43 characters that follow from a secret and do not disclose it.

    Args:
        secret: the secret.
        purpose: different ones have different results.
    """
    key = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
    made = hmac.digest(key, purpose.encode("utf-8", "surrogateescape"), "sha256")
    return urlsafe_b64encode(made).rstrip(b"=").decode()


def same(one: str, other: str) -> bool:
    """Compare two secrets in a time that does not tell where they differ."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
    )
