"""Hashes of the passcodes of `dicom.identity`: argon2id, or SHA-256 of earlier versions.

A reader of the configuration can guess a passcode from its SHA-256 with a graphics card; argon2id
(RFC 9106) has a salt, and each guess takes memory and time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_ARGON2: Final = re.compile(
    r"\$argon2id\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
_MOST_MEMORY: Final = 256 << 10  # KiB for one comparison
_MOST_WORK: Final = 1 << 20  # KiB × passes, some half a second
_MOST_LANES: Final = 16

NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA"
    "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""The hash of unknown users, so that refusing them takes as long as refusing a known one."""


def check_hash(value: str) -> str:
    """Check a hash of a passcode; empty means no passcode.

    Raises:
        ValueError: it is not a hash, or comparing would take too much memory or time.
    """
    if not value or _SHA256.fullmatch(value):
        return value
    found = _ARGON2.fullmatch(value)
    if found is None:
        raise ValueError("not the hash of a passcode; `rasnode passcode` prints it")
    memory, passes, partitions = map(int, found.groups())
    if memory > _MOST_MEMORY or memory * passes > _MOST_WORK or partitions > _MOST_LANES:
        raise ValueError(
            "a hash that takes too much memory or time; `rasnode passcode` prints one that does not"
        )
    return value


def is_slow(wanted: str) -> bool:
    """Tell whether comparing a passcode with a hash takes so long that no loop may wait for it."""
    return wanted.startswith("$")


def is_outdated(wanted: str) -> bool:
    """Tell whether a hash is a SHA-256 of an earlier version."""
    return bool(wanted) and not is_slow(wanted)


def outdated_users(users: Mapping[str, str]) -> str:
    """Return a warning about users with outdated hashes; empty if there are none."""
    names = ", ".join(sorted(repr(name) for name, wanted in users.items() if is_outdated(wanted)))
    if not names:
        return ""
    return (
        f"dicom.identity.users has a SHA-256 for {names}, from which a passcode can be guessed "
        "fast: put what `rasnode passcode` prints in its place"
    )


def make_hash(passcode: str) -> str:
    """Return the argon2id hash of a passcode, with a new salt."""
    from argon2 import PasswordHasher  # noqa: PLC0415  most readers of the settings do not need it

    return PasswordHasher().hash(passcode)


def matches(wanted: str, passcode: bytes) -> bool:
    """Tell whether a passcode has a hash.

    Args:
        wanted: the hash, checked by `check_hash`.
        passcode: the passcode.
    """
    if not is_slow(wanted):
        given = hashlib.sha256(passcode).hexdigest()
        return not wanted or hmac.compare_digest(given, wanted.lower())
    from argon2 import PasswordHasher  # noqa: PLC0415
    from argon2.exceptions import VerificationError  # noqa: PLC0415

    try:
        return PasswordHasher().verify(wanted, passcode)
    except VerificationError:
        return False
