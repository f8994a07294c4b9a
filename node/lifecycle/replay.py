"""Recorded arrivals from the index, replayed under several settings side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.completion.policy import Timing
from node.completion.replay import Outcome, Recorded, replay
from node.lifecycle.evidence_loader import instance_facts
from node.storage.index.peers.statements import Statements
from node.storage.index.series.recorded_arrivals import Recordings
from node.storage.index.series.work import Work


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one setting would have done.

    Attributes:
        cut: the series of which something would have come after they were taken for whole.
        median_delay, longest_delay: from a series' last instance to the decision, seconds.
    """

    timing: Timing
    outcomes: tuple[Outcome, ...]

    @property
    def cut(self) -> tuple[str, ...]:
        """UIDs of series that would have been cut short."""
        return tuple(outcome.uid for outcome in self.outcomes if outcome.cut_short)

    @property
    def median_delay(self) -> float:
        """Half of the series would have been decided within this time."""
        return statistics.median([outcome.delay for outcome in self.outcomes] or [0.0])

    @property
    def longest_delay(self) -> float:
        """Every series would have been decided within this time."""
        return max((outcome.delay for outcome in self.outcomes), default=0.0)


class Replayer:
    """Replays what the index remembers."""

    def __init__(self, work: Work, recordings: Recordings, statements: Statements) -> None:
        self._work = work
        self._recordings = recordings
        self._statements = statements

    def compare(
        self, timings: Sequence[Timing], sender: str | None, since: float, limit: int
    ) -> list[Comparison]:
        """What each setting would have done with the latest series.

        Args:
            sender: an AE title; None for everybody.
            since: only series of which something came after this, seconds since 1970.
        """
        pks = self._recordings.series(sender, since, limit)
        outcomes: list[list[Outcome]] = [[] for _ in timings]
        for series in self._recorded(pks):
            for found, timing in zip(outcomes, timings, strict=True):
                found.append(replay(series, timing))
        return [
            Comparison(timing, tuple(found))
            for timing, found in zip(timings, outcomes, strict=True)
        ]

    def _recorded(self, pks: Sequence[int]) -> Iterator[Recorded]:
        for pk in pks:
            trace = self._recordings.trace(pk)
            facts = [instance_facts(row) for row in self._work.headers(pk)]
            if not facts:
                continue
            numbers = {key: number for number, key in enumerate(trace.arrivals)}
            moments = trace.moments[: len(facts)]
            yield Recorded(
                uid=trace.uid,
                came=tuple((moment.at, one) for moment, one in zip(moments, facts, strict=True)),
                arrivals=tuple(trace.arrivals.values()),
                carriers=tuple(numbers.get(moment.association or 0) for moment in moments),
                statements=self._statements.of(trace.uid),
            )
