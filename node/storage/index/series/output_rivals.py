"""Which output names would lead to the same files as another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, or_, select

from node.core.output_names import conflicts_of
from node.storage.index.schema import OutputRow
from node.storage.index.search.where import range_of

_column: Any = OutputRow.folded
_PREFIXES: Final = len(conflicts_of("").prefixes)
# Put together once: that takes longer than the answer.
_RIVALS: Final = select(OutputRow.stem, OutputRow.series_pk).where(
    or_(
        _column.in_(bindparam("stems", expanding=True)),
        *(
            and_(_column >= bindparam(f"from_{number}"), _column < bindparam(f"to_{number}"))
            for number in range(_PREFIXES)
        ),
    )
)


def rivals_of(connection: Connection, stem: str) -> Sequence[Row[str, int]]:
    """The reserved names that would lead to the same files as a stem, its own included.

    Args:
        connection: of the index.
        stem: an output name.

    Returns:
        rows of name and series.
    """
    conflicts = conflicts_of(stem)
    asked: dict[str, Any] = {"stems": sorted(conflicts.stems)}
    for number, prefix in enumerate(conflicts.prefixes):
        asked[f"from_{number}"], asked[f"to_{number}"] = range_of(prefix)
    return connection.execute(_RIVALS, asked).all()
