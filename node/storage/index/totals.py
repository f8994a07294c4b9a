"""How much the index holds, kept beside the rows instead of counted each time somebody asks.

Whoever adds, moves or removes rows says so with `count` in the same transaction. The sums are
written as the last thing of the transaction and always in the same order, so that no two
transactions can wait for each other.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select, text

from node.core.events import DeliveryState
from node.core.records import SeriesState
from node.storage.index.schema import TotalRow

COUNTS: Final = "rasnode_counts"
"""The execution option with what a transaction has counted so far: a Counter by name."""

_ADD: Final = text(
    "INSERT INTO total (name, value) VALUES (:name, :value)"
    " ON CONFLICT (name) DO UPDATE SET value = total.value + excluded.value"
)


LISTED: Final = "listed"
"""Instances and conflicts that were ever listed, whatever became of them: it only grows."""


class Total(StrEnum):
    """What is counted, beside series and deliveries by state."""

    PATIENTS = "patients"
    STUDIES = "studies"
    SERIES = "series"
    INSTANCES = "instances"
    CONFLICTS = "conflicts"
    BYTES = "bytes"  # of the instances' files, without conflicts


def in_state(state: SeriesState | DeliveryState | str, *, of: str = "series") -> str:
    """The name under which what is in one state is counted."""
    return f"{of}_{state}"


def count(connection: Connection, name: str, by: int = 1) -> None:
    """Note that there is more or less of something; `connection` is one of `Index.writing`."""
    connection.get_execution_options()[COUNTS][name] += by


def moved(connection: Connection, before: str, after: str, by: int = 1) -> None:
    """Note that something is counted under another name from now on."""
    count(connection, before, -by)
    count(connection, after, by)


def write(connection: Connection, counts: Counter[str]) -> None:
    """Add what a transaction counted; nothing may follow in it."""
    changed = [{"name": name, "value": by} for name, by in sorted(counts.items()) if by]
    if changed:
        connection.execute(_ADD, changed)


def read(connection: Connection) -> Counter[str]:
    """How much there is of everything that is counted, by name; 0 for what never was."""
    rows = connection.execute(
        select(TotalRow.name, TotalRow.value).where(TotalRow.name != LISTED)
    ).all()
    return Counter({name: value for name, value in rows if value})
