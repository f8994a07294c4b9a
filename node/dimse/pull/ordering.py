"""Checks a job before it is made, so that whoever orders it hears what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from node.core.errors import ConfigError
from node.core.fetch_limits import Rate, Window
from node.core.pulls import NewPull
from node.core.settings.model import PeerSettings
from node.dimse.pull.question import BadKey, check_key, question

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_order(new: NewPull, peers: Iterable[PeerSettings]) -> None:
    """Check a job that somebody orders.

    Args:
        new: the job.
        peers: `dicom.peers`.

    Raises:
        ConfigError: a sentence that says what is wrong with it.
    """
    names = [peer.name for peer in peers]
    if new.peer not in names:
        known = ", ".join(names) or "none"
        raise ConfigError(f"there is no peer {new.peer!r} in dicom.peers; those there are: {known}")
    if not NAME.fullmatch(new.name):
        raise ConfigError("a job is called by letters, digits, dots, - and _, at most 64")
    for line, query in new.rows:
        try:
            for keyword, value in [*query.items(), *new.series.items()]:
                check_key(keyword, value)
            question(dict(query), dict(new.series))
        except BadKey as error:
            raise ConfigError(f"row {line}: {error}") from error
    try:
        if new.window:
            Window.parse(new.window)
        if new.rate:
            Rate.parse(new.rate)
    except ValueError as error:
        raise ConfigError(f"window or rate: {error}") from error
