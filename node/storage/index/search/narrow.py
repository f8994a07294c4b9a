"""The columns of PostgreSQL's index for searches: those of a series, cut off, see migration 0023.

PostgreSQL refuses a row whose values are too long for an index, and an instance that was answered
0x0000 must come into the index of the node. So the index has generated columns with the beginning
of each value. SQLite has no such limit and no such columns.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Text, literal_column

from node.storage.index.schema import SeriesRow

TEXT: Final = literal_column("series.search_text", Text)
"""Description and UID in small letters."""
TITLE: Final = literal_column("series.search_title", Text)
"""The description, for sorting."""
MODALITY: Final = literal_column("series.search_modality", Text)
DATE: Final = literal_column("series.search_date", Text)


def narrow(column: Any) -> Any:
    """The column of the index for one of the series; itself if the index has it whole.

    Args:
        column: of SeriesRow.
    """
    return {SeriesRow.modality.key: MODALITY, SeriesRow.date.key: DATE}.get(column.key, column)
