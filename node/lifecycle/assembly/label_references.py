"""The series that labels refer to: found, waited for, and followed when they change."""

from __future__ import annotations

from collections.abc import Sequence

from node.assemble.frames.headers import decode_header
from node.assemble.frames.model import LABEL_CLASSES
from node.completion.states import Event, follow
from node.core.records import SeriesRecord, SeriesState, StoredInstance
from node.storage.index.series.consequences import Follower
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.references import References
from node.storage.index.series.work import Work

RECHECK_SECONDS = 2.0  # of a series that labels wait for, if nothing reports that it is ready
_IN_PROGRESS = (SeriesState.RECEIVING, SeriesState.SETTLED, SeriesState.ASSEMBLING)
_MADE = (SeriesState.READY, SeriesState.NOT_A_VOLUME)
States = tuple[tuple[str, int], ...]
"""For each referenced series its address and its change token; -1 if the index does not have it."""


class LabelReferences:
    """Knows which series the labels of a series refer to.

    Args:
        work: the series in the index.
        references: stores which series have labels of which.
        namesakes: finds the series that have the same UID.
    """

    def __init__(self, work: Work, references: References, namesakes: Namesakes) -> None:
        self._work = work
        self._references = references
        self._namesakes = namesakes

    def needed(self, series: SeriesRecord, instances: Sequence[StoredInstance]) -> tuple[str, ...]:
        """The series whose voxels the instances of a series label; the index stores their UIDs.

        Of several series with one UID, the one in the same study is meant. If none is, the
        reference is ambiguous and is ignored.

        Args:
            series: the series with the labels.
            instances: its instances.

        Returns:
            the addresses of the referenced series.
        """
        labels = [one for one in instances if one.sop_class_uid in LABEL_CLASSES]
        if not labels:
            return ()
        found = {uid for one in labels for uid in decode_header(one.header).references}
        needed = tuple(sorted(found - {series.uid}))
        self._references.note(series.pk, needed)
        meant = (self._namesakes.beside(uid, series) for uid in needed)
        return tuple(address for address in meant if address is not None)

    def unready(self, needed: Sequence[str]) -> SeriesRecord | None:
        """The first of the series that is still being received or assembled; None if none is."""
        for uid in needed:
            series = self._work.series(uid)
            if series is not None and series.state in _IN_PROGRESS:
                return series
        return None

    def states(self, needed: Sequence[str]) -> States:
        """The change tokens of the series, to be compared with those after the assembly."""
        found = ((uid, self._work.series(uid)) for uid in needed)
        return tuple((uid, -1 if series is None else series.change) for uid, series in found)

    def instances(self, needed: Sequence[str]) -> tuple[StoredInstance, ...]:
        """The instances of those series that are ready; labels are not placed on any other."""
        found = [self._work.series(uid) for uid in needed]
        return tuple(
            instance
            for series in found
            if series is not None and series.state is SeriesState.READY
            for instance in self._work.instances(series.pk)
        )

    def outdated(self, uid: str) -> tuple[Follower, ...]:
        """The labels that have to be assembled again when the volumes of a series change.

        Args:
            uid: Series Instance UID of the referenced series.
        """
        labels = [self._work.series(label) for label in self._references.labels_of(uid)]
        detail = {"why": "the series that it labels has changed", "reference": uid}
        return tuple(
            Follower(series, follow(series.state, Event.REFERENCE), detail)
            for series in labels
            if series is not None and series.state in _MADE
        )

    def hasten(self, uid: str) -> None:
        """Have labels that wait for a series assembled now, because it has volumes.

        Args:
            uid: Series Instance UID of the referenced series.
        """
        for label in self._references.labels_of(uid):
            series = self._work.series(label)
            if series is not None and series.state is SeriesState.SETTLED:
                self._work.look_again(series, None)


def waits_for(series: SeriesRecord) -> str:
    """Why labels are not assembled yet."""
    return f"waits for series {series.address}, which it labels and which is {series.state}"
