"""Replays recorded arrivals from the index with several settings of `completion`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.completion.decision import Timing
from node.completion.replay import Outcome, Recorded, replay
from node.lifecycle.evidence_loader import instance_facts
from node.storage.index.peers.statements import Statements
from node.storage.index.series.recorded_arrivals import Recordings
from node.storage.index.series.work import Work


@dataclass(frozen=True, slots=True)
class Comparison:
    """What would have been decided with one setting.

    Attributes:
        timing: the setting.
        outcomes: for each series, what would have been decided.
    """

    timing: Timing
    outcomes: tuple[Outcome, ...]

    @property
    def cut(self) -> tuple[str, ...]:
        """The UIDs of series that would have been assembled before their last instance."""
        return tuple(outcome.uid for outcome in self.outcomes if outcome.cut_short)

    @property
    def median_delay(self) -> float:
        """The median time from a series' last instance to the decision, seconds."""
        return statistics.median([outcome.delay for outcome in self.outcomes] or [0.0])

    @property
    def longest_delay(self) -> float:
        """The longest time from a series' last instance to the decision, seconds."""
        return max((outcome.delay for outcome in self.outcomes), default=0.0)


class Replayer:
    """Replays the arrivals that the index has recorded.

    Args:
        work: the series in the index.
        recordings: the recorded arrivals in the index.
        statements: what peers said, in the index.
    """

    def __init__(self, work: Work, recordings: Recordings, statements: Statements) -> None:
        self._work = work
        self._recordings = recordings
        self._statements = statements

    def compare(
        self, timings: Sequence[Timing], sender: str | None, since: float, limit: int
    ) -> list[Comparison]:
        """Replay the latest series with each setting.

        Args:
            timings: the settings.
            sender: an AE title; None for all senders.
            since: only series of which an instance arrived after this, seconds since 1970.
            limit: the largest number of series.

        Returns:
            one comparison for each setting, in the same order.
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
                received=tuple(
                    (moment.at, one) for moment, one in zip(moments, facts, strict=True)
                ),
                arrivals=tuple(trace.arrivals.values()),
                brought_by=tuple(numbers.get(moment.association or 0) for moment in moments),
                statements=self._statements.of(trace.uid),
            )
