"""Totals of the index, kept in a table instead of being counted for each request.

Code that adds, moves or removes rows calls `count` in the same transaction. The sums are written at
the end of the transaction and always in the same order, so that there are no deadlocks.
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
"""The execution option that has the counts of a transaction so far: a Counter by name."""

_ADD: Final = text(
    "INSERT INTO total (name, value) VALUES (:name, :value)"
    " ON CONFLICT (name) DO UPDATE SET value = total.value + excluded.value"
)


LISTED: Final = "listed"
"""The total of all instances and conflicts that were ever listed; it never decreases."""


class Total(StrEnum):
    """The totals, besides series and deliveries by state."""

    PATIENTS = "patients"
    STUDIES = "studies"
    SERIES = "series"
    INSTANCES = "instances"
    CONFLICTS = "conflicts"
    BYTES = "bytes"  # of the instances' files, without conflicts


def in_state(state: SeriesState | DeliveryState | str, *, of: str = "series") -> str:
    """The name of a total by state.

    Args:
        state: the state.
        of: what is counted: `series` or `deliveries`.
    """
    return f"{of}_{state}"


def count(connection: Connection, name: str, by: int = 1) -> None:
    """Change a total at the end of the transaction.

    Args:
        connection: of `Index.writing`.
        name: of the total.
        by: how much is added; may be negative.
    """
    connection.get_execution_options()[COUNTS][name] += by


def moved(connection: Connection, before: str, after: str, by: int = 1) -> None:
    """Move a count from one total to another.

    Args:
        connection: of `Index.writing`.
        before: name of the total that decreases.
        after: name of the total that increases.
        by: how much.
    """
    count(connection, before, -by)
    count(connection, after, by)


def write(connection: Connection, counts: Counter[str]) -> None:
    """Write the counts of a transaction, as its last statement.

    Args:
        connection: of `Index.writing`.
        counts: by name.
    """
    changed = [{"name": name, "value": by} for name, by in sorted(counts.items()) if by]
    if changed:
        connection.execute(_ADD, changed)


def read(connection: Connection) -> Counter[str]:
    """All totals by name; 0 for names that are not there."""
    rows = connection.execute(
        select(TotalRow.name, TotalRow.value).where(TotalRow.name != LISTED)
    ).all()
    return Counter({name: value for name, value in rows if value})
