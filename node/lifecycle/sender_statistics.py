"""What is known of senders' habits, learned from recorded arrivals every now and then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from node.completion.policy import Timing
from node.completion.silences import Gap, learned_quiet, percentiles, silences
from node.core.supervision import Loop
from node.storage.index.series.recorded_arrivals import Recordings

EVERY_SECONDS = 3600.0  # how often habits are looked at again
LATEST_SERIES = 200  # of each sender that its habits are drawn from


class SenderStatistics:
    """Learns senders' silences in a thread of its own, and says how long to wait for whom.

    Args:
        timing: the settings; its quiet time is for senders that too little is known of.
        learned: whether `completion.quiet_seconds` says `learned`.
        clock: seconds since 1970.
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
        self._loop = Loop("senders' habits", self._learn, vital=False)

    def timing(self, senders: Sequence[str]) -> Timing:
        """How long to wait for a series of these senders: for the slowest of them."""
        if not self._learned or not senders:
            return self._timing
        quiet = max(self._quiet.get(sender, self._timing.quiet) for sender in senders)
        return replace(self._timing, quiet=quiet)

    def start(self) -> None:
        """Take up what was learned before, and go on learning."""
        self._take_up()
        self._loop.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop learning."""
        self._loop.stop(timeout)

    def study(self) -> None:
        """Look at every sender's latest series, and keep what they show."""
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
        self._take_up()

    def _take_up(self) -> None:
        self._quiet = {
            sender: learned_quiet(known, self._timing.quiet)
            for (sender, kind), known in self._recordings.learned().items()
            if kind is Gap.RELEASED
        }

    def _learn(self) -> float:
        self.study()
        return EVERY_SECONDS
