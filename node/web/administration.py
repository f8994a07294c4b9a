"""What the routes of administrators work with; the daemon makes it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.core.recent_log import newest
from node.core.settings.effective import shown, sources
from node.core.settings.file import Configuration
from node.storage.access.accounts import Account, Accounts
from node.storage.access.issuing import add_user, issue_token

audit = logging.getLogger("node.audit")


@dataclass(frozen=True)
class Administration:
    """Users and tokens, the settings in effect, and the log. Safe for threads.

    Attributes:
        accounts: of the node.
        configuration: as it is now; SIGHUP may change it.
    """

    accounts: Accounts
    configuration: Callable[[], Configuration]
    _hashing: threading.Lock = field(default_factory=threading.Lock)  # a hash takes 64 MiB

    def users(self) -> list[Account]:
        """All names that have a password, a token or a session."""
        return self.accounts.all()

    def add(self, admin: str, name: str, role: str, password: str) -> None:
        """Add a user. Arguments and errors as of `issuing.add_user`; `admin` is who adds them."""
        with self._hashing:
            added = add_user(self.accounts, name, role, password)
        _written(admin, f"added the user {added} ({role})")

    def remove(self, admin: str, name: str) -> None:
        """Remove a user, and end all their tokens and sessions.

        Raises:
            AccountRefused: there is nothing of this name.
        """
        self.accounts.remove(name)
        _written(admin, f"removed {name} with all tokens and sessions")

    def issue(self, admin: str, name: str, role: str, days: float | None) -> str:
        """Make a token. Arguments and errors as of `issuing.issue_token`."""
        made = issue_token(self.accounts, name, role, days)
        _written(admin, f"made a token for {name} ({role})")
        return made

    def settings(self) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The file of the configuration, the settings without secrets, and each one's source."""
        found = self.configuration()
        return found.origins.file, shown(found), dict(sources(found))

    def log(self, limit: int, level: str, text: str) -> list[dict[str, Any]]:
        """The newest records of the log. Arguments as of `recent_log.newest`."""
        return newest(self._root, limit, level=level, text=text)

    @property
    def _root(self) -> Path:
        return self.configuration().settings.storage.root


def _written(admin: str, what: str) -> None:
    audit.info("%s %s", admin, what, extra={"user": admin})
