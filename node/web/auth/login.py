"""Begins and ends sessions: what the login routes do, apart from HTTP."""

from __future__ import annotations

from typing import Final

from node.core.settings.passcodes import NOBODY, matches
from node.storage.access.accounts import Accounts
from node.web.auth.attempts import Attempts
from node.web.auth.audit import Audit
from node.web.auth.secrets import digest_of, new_secret
from node.web.roles import Role

_LONGEST_NAME: Final = 64
_LONGEST_PASSWORD: Final = 1024


class TooMany(Exception):
    """Too many logins failed.

    Attributes:
        seconds: after which to try again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Logins:
    """Begins and ends sessions. Safe for threads.

    Args:
        accounts: of the node.
        audit: writes who logged in.
        seconds: how long a session lasts.
    """

    def __init__(self, accounts: Accounts, audit: Audit, seconds: float) -> None:
        self._accounts = accounts
        self._audit = audit
        self.seconds = seconds
        self._attempts = Attempts()

    def by_password(self, name: str, password: str, address: str) -> str | None:
        """Begin the session of a local user.

        A name that is not known takes as long as a wrong password.

        Args:
            name, password: as they were typed.
            address: where the login comes from.

        Returns:
            The secret of the session; None: name or password are wrong.

        Raises:
            TooMany: too many logins failed.
            AccessUnavailable: the file of users cannot be used now.
        """
        name, password = name.strip()[:_LONGEST_NAME], password[:_LONGEST_PASSWORD]
        if wait := self._attempts.begin(name, address):
            raise TooMany(wait)
        user = self._accounts.user(name)
        wanted = NOBODY if user is None else user[1]
        right = matches(wanted, password.encode("utf-8", "surrogateescape"))
        if user is None or not right:
            self._audit.login("" if user is None else name, address, "wrong password")
            return None
        secret = self._begun(name, None)
        if secret is not None:
            self._attempts.succeeded(name, address)
            self._audit.login(name, address, f"logged in ({user[0].role})")
        return secret

    def by_provider(self, name: str, role: Role, address: str) -> str:
        """Begin the session of a user whom the OpenID provider has let in; returns its secret.

        Args:
            name: of the user.
            role: that the provider's claim gives.
            address: where the login comes from.
        """
        self._audit.login(name, address, f"logged in at the provider ({role})")
        return self._begun(name, role) or ""

    def end(self, secret: str) -> None:
        """End a session."""
        grant = self._accounts.by_session(digest_of(secret))
        self._accounts.end_session(digest_of(secret))
        if grant is not None:
            self._audit.login(grant.name, "the page", "logged out")

    def _begun(self, name: str, role: Role | None) -> str | None:
        secret = new_secret()
        begun = self._accounts.begin_session(digest_of(secret), name, role, self.seconds)
        return secret if begun else None
