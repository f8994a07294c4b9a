"""What the archive has of a study that is fetched."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, func, select

from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, SeriesRow, StudyRow


def _of_study(query: Any) -> Any:
    return (
        query.select_from(InstanceRow)
        .join(SeriesRow, SeriesRow.id == InstanceRow.series_pk)
        .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
        .where(StudyRow.uid == bindparam("uid"))
    )


# Put together once: that takes longer than the answers.
_HELD: Final = _of_study(select(SeriesRow.uid, InstanceRow.uid))
_HELD_SIZE: Final = _of_study(select(func.count(), func.coalesce(func.sum(InstanceRow.size), 0)))


class StudyHoldings:
    """Reads what the archive has of studies."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def held(self, study_uid: str) -> dict[str, frozenset[str]]:
        """What the archive has of a study: Series Instance UID -> SOP Instance UIDs."""
        found: dict[str, set[str]] = {}
        with self._index.reading() as connection:
            for series, instance in connection.execute(_HELD, {"uid": study_uid}):
                found.setdefault(series, set()).add(instance)
        return {series: frozenset(uids) for series, uids in found.items()}

    def held_size(self, study_uid: str) -> tuple[int, int]:
        """How many instances the archive has of a study, and their bytes."""
        with self._index.reading() as connection:
            count, size = connection.execute(_HELD_SIZE, {"uid": study_uid}).one()
        return int(count), int(size)
