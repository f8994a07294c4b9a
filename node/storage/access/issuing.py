"""Users and tokens are made here, for the command line and for the page alike."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Final

from node.core.errors import ConfigError
from node.core.settings.passcodes import make_hash
from node.storage.access.accounts import Accounts, checked_name

TOKEN_PREFIX: Final = "rasnode_"  # noqa: S105  so that scanners for leaked secrets know it
SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 1024
MOST_DAYS: Final = 36500.0
_DAY_SECONDS: Final = 86400


def check_password(password: str) -> None:
    """Raise ConfigError if a password is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ConfigError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")


def add_user(accounts: Accounts, name: str, role: str, password: str) -> str:
    """Add a user who logs in with a password; returns the name as it is kept.

    Args:
        accounts: of the node.
        name: as it was typed.
        role: viewer, operator or admin.
        password: as it was typed; its argon2id hash is kept.

    Raises:
        ConfigError: it cannot be a name or a password.
        AccountRefused: the name is taken, or there are too many.
    """
    name = checked_name(name)
    accounts.refuse_taken(name)
    check_password(password)
    accounts.add_user(name, role, make_hash(password))
    return name


def issue_token(accounts: Accounts, name: str, role: str, days: float | None) -> str:
    """Make a token for a program; it can be read this once, as only its hash is kept.

    Args:
        accounts: of the node.
        name: of the program or user, as it was typed.
        role: viewer, operator or admin.
        days: after which it ends; None: it does not end by itself.

    Raises:
        ConfigError: it cannot be a name, or so many days are not possible.
        AccountRefused: its role exceeds that of the user, or there are too many.
    """
    if days is not None and not 0 < days <= MOST_DAYS:
        raise ConfigError(f"--days is more than 0 and at most {MOST_DAYS:.0f}")
    made = TOKEN_PREFIX + secrets.token_urlsafe(32)
    ends = None if days is None else time.time() + days * _DAY_SECONDS
    digest = hashlib.sha256(made.encode()).hexdigest()
    accounts.add_token(checked_name(name), role, digest, ends)
    return made
