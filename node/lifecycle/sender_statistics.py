"""Learns from recorded arrivals how long senders pause within a series, once an hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from node.completion.decision import Timing
from node.completion.silences import Gap, learned_quiet, percentiles, silences
from node.core.supervision import Loop
from node.storage.index.series.recorded_arrivals import Recordings

EVERY_SECONDS = 3600.0  # how often the statistics are made again
LATEST_SERIES = 200  # of each sender that its statistics are made of


class SenderStatistics:
    """Learns senders' silences in a thread of its own, and derives each sender's quiet time.

    Args:
        recordings: the recorded arrivals in the index.
        timing: the settings; its quiet time is for senders of which too few series are known.
        learned: whether `completion.quiet_seconds` is `learned`.
        clock: returns seconds since 1970.
    """

    def __init__(
        self,
        recordings: Recordings,
        timing: Timing,
        *,
        learned: bool,
        clock: Callable[[], float],
    ) -> None:
        self._recordings = recordings
        self._timing = timing
        self._learned = learned
        self._clock = clock
        self._quiet: dict[str, float] = {}
        self._loop = Loop("sender statistics", self._learn, vital=False)

    def timing(self, senders: Sequence[str]) -> Timing:
        """The settings for a series of these senders, with the quiet time of the slowest."""
        if not self._learned or not senders:
            return self._timing
        quiet = max(self._quiet.get(sender, self._timing.quiet) for sender in senders)
        return replace(self._timing, quiet=quiet)

    def start(self) -> None:
        """Load what was learned before, and start the loop."""
        self._load()
        self._loop.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the loop."""
        self._loop.stop(timeout)

    def learn(self) -> None:
        """Make the statistics of every sender's latest series, and store them."""
        for sender in self._recordings.senders():
            found = []
            for pk in self._recordings.series(sender, limit=LATEST_SERIES):
                trace = self._recordings.trace(pk)
                ends = {
                    key: arrival.ended_at
                    for key, arrival in trace.arrivals.items()
                    if arrival.ended_at is not None
                }
                found.append(silences(trace.moments, ends))
                self._loop.heartbeat.beat()
            now = self._clock()
            released = percentiles([item.released for item in found])
            self._recordings.learn(sender, Gap.RELEASED, released, now)
            during = percentiles([item.open for item in found])
            self._recordings.learn(sender, Gap.OPEN, during, now)
        self._load()

    def _load(self) -> None:
        self._quiet = {
            sender: learned_quiet(known, self._timing.quiet)
            for (sender, kind), known in self._recordings.learned().items()
            if kind is Gap.RELEASED
        }

    def _learn(self) -> float:
        self.learn()
        return EVERY_SECONDS
