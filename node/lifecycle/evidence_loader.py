"""Reads the facts of a series from the index, and decodes each header once."""

from __future__ import annotations

from collections import OrderedDict

from node.assemble.frames.headers import decode_header
from node.assemble.frames.model import FrameHeader
from node.completion.facts import Count, FrameFacts, InstanceFacts, SeriesFacts
from node.storage.index.peers.statements import Statements
from node.storage.index.series.series_reader import InstanceHeader
from node.storage.index.series.work import Work

_REMEMBERED = 256  # series whose decoded headers are kept
_COUNTS = {str(count): count for count in Count}


class EvidenceLoader:
    """Reads the facts of series; a header that was read is not decoded again.

    Args:
        work: the series in the index.
        statements: what peers said, in the index.
    """

    def __init__(self, work: Work, statements: Statements) -> None:
        self._work = work
        self._statements = statements
        self._seen: OrderedDict[int, tuple[int, tuple[InstanceFacts, ...]]] = OrderedDict()

    def facts(self, series_pk: int, series_uid: str) -> SeriesFacts:
        """All that is known of a series, apart from how its instances arrived.

        Args:
            series_pk: the row of the series.
            series_uid: its Series Instance UID.
        """
        return SeriesFacts(self.catch_up(series_pk), self._statements.of(series_uid))

    def catch_up(self, series_pk: int) -> tuple[InstanceFacts, ...]:
        """Read the instances of a series that were not read before; all of its instances."""
        last, known = self._seen.pop(series_pk, (0, ()))
        rows = self._work.headers(series_pk, after=last)
        if rows:
            last = rows[-1].pk
            known = (*known, *map(instance_facts, rows))
        self._seen[series_pk] = (last, known)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return known

    def forget(self, series_pk: int) -> None:
        """Drop the decoded headers of a series."""
        self._seen.pop(series_pk, None)


def instance_facts(row: InstanceHeader) -> InstanceFacts:
    """The facts of one instance, from its stored header."""
    header = decode_header(row.header)
    frames = header.frames
    return InstanceFacts(
        uid=row.uid,
        number=row.number,
        acquisition=frames[0].acquisition if frames else None,
        derived=any(_derived(frame) for frame in frames),
        announced={
            _COUNTS[name]: value for name, value in header.announced.items() if name in _COUNTS
        },
        frames=tuple(_frame_facts(frame) for frame in frames),
        concatenation=header.concatenation,
    )


def _frame_facts(frame: FrameHeader) -> FrameFacts:
    return FrameFacts(
        rows=frame.rows,
        columns=frame.columns,
        orientation=frame.orientation,
        position=frame.position,
        kind="/".join((frame.kind, frame.derived)),
        echo=frame.echo_time if frame.echo_time is not None else frame.echo,
        time=frame.temporal,
    )


def _derived(frame: FrameHeader) -> bool:
    return bool(frame.derived) or frame.image_type[:1] == ("DERIVED",)
