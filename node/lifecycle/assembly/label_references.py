"""The series that labels lie on: found in the index, waited for, and followed when they change."""

from __future__ import annotations

from collections.abc import Sequence

from node.assemble.frames.headers import decode_header
from node.assemble.frames.model import LABEL_CLASSES
from node.completion.policy import Event, follow
from node.core.records import SeriesRecord, SeriesState, StoredInstance
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.references import References
from node.storage.index.series.work import Work

ACTOR = "assembler"
LOOK_AGAIN_SECONDS = 2.0  # at a series that labels wait for, should nobody say that it is ready
_IN_PROGRESS = (SeriesState.RECEIVING, SeriesState.SETTLED, SeriesState.ASSEMBLING)
_MADE = (SeriesState.READY, SeriesState.NOT_A_VOLUME)
Snapshot = tuple[tuple[str, int], ...]
"""For each referenced series its address and its change token, -1 if it is not there."""


class LabelReferences:
    """Knows which series the labels of a series are drawn on."""

    def __init__(self, work: Work, references: References, namesakes: Namesakes) -> None:
        self._work = work
        self._references = references
        self._namesakes = namesakes

    def needed(self, series: SeriesRecord, instances: Sequence[StoredInstance]) -> tuple[str, ...]:
        """Addresses of the series that the instances of a series label.

        Their UIDs are kept in the index, too. Where several have a UID, the one of the same study
        is meant; if there is none, it is not sure which, and the labels lie on nothing.
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
        """A series among them that is still on its way to a volume; None if none is."""
        for uid in needed:
            series = self._work.series(uid)
            if series is not None and series.state in _IN_PROGRESS:
                return series
        return None

    def snapshot(self, needed: Sequence[str]) -> Snapshot:
        """How the series stand, to be compared with how they stand later."""
        found = ((uid, self._work.series(uid)) for uid in needed)
        return tuple((uid, -1 if series is None else series.change) for uid, series in found)

    def instances(self, needed: Sequence[str]) -> tuple[StoredInstance, ...]:
        """The instances of those that are volumes: what is held or failed is no ground."""
        found = [self._work.series(uid) for uid in needed]
        return tuple(
            instance
            for series in found
            if series is not None and series.state is SeriesState.READY
            for instance in self._work.instances(series.pk)
        )

    def changed(self, uid: str, now: float) -> None:
        """Have the labels of a series made again, as its volumes are others than before."""
        for label in self._references.labels_of(uid):
            series = self._work.series(label)
            if series is None:
                continue
            if series.state is SeriesState.SETTLED:
                self._work.look_again(series, None)
            elif series.state in _MADE:
                state = follow(series.state, Event.REFERENCE)
                detail = {"why": "the series that it labels has changed", "reference": uid}
                self._work.move(series, state, now=now, actor=ACTOR, detail=detail)


def waits_for(series: SeriesRecord) -> str:
    """Say why labels are not made yet."""
    return f"waits for series {series.address}, whose voxels it labels: that one is {series.state}"
