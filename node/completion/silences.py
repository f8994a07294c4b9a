"""How long senders are silent before more comes, and what that teaches. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

LATE_SECONDS = 600.0
"""What comes after a longer silence is late, not slow: it makes a revision, nobody waits for it."""

FEWEST_SERIES = 20  # of a sender, before its habits count
MARGIN = 1.5  # on what was seen: the next one may be a little slower
SHORTEST_QUIET = 1.0  # seconds: two associations of one series may follow that closely
LONGEST_QUIET = 300.0  # seconds: what a sender can make people wait


class Gap(StrEnum):
    """Where a silence lay."""

    RELEASED = "released"  # between the end of its associations and the next instance
    OPEN = "open"  # between two instances while an association was open


@dataclass(frozen=True, slots=True)
class Moment:
    """An instance's coming.

    Attributes:
        association: its row; None for an import.
    """

    at: float
    association: int | None


@dataclass(frozen=True, slots=True)
class Silences:
    """The longest silences that more followed, seconds; 0 where there was none."""

    released: float
    open: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one number for each of a sender's series."""

    samples: int
    median: float
    p90: float
    p99: float
    longest: float


def silences(moments: Sequence[Moment], ends: dict[int, float]) -> Silences:
    """The longest silences within a series that more followed.

    Args:
        moments: of its instances, in the order in which they came.
        ends: when each association ended; one that is missing is open still.
    """
    released = during = 0.0
    begun: set[int] = set()
    for before, after in pairwise(moments):
        if before.association is not None:
            begun.add(before.association)
        over = [ends.get(association, float("inf")) for association in begun]
        if over and max(over) <= after.at:
            gap = after.at - max(*over, before.at)
            released = max(released, gap if gap <= LATE_SECONDS else 0.0)
        else:
            gap = after.at - before.at
            during = max(during, gap if gap <= LATE_SECONDS else 0.0)
    return Silences(released, during)


def percentiles(values: Sequence[float]) -> Percentiles:
    """Nearest-rank percentiles; all 0 for no values."""
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    return Percentiles(len(ordered), rank(0.5), rank(0.9), rank(0.99), rank(1.0))


def learned_quiet(known: Percentiles | None, otherwise: float) -> float:
    """The quiet time that would have cut short one in a hundred of a sender's series at most.

    Args:
        known: of its longest silences after a release.
        otherwise: for senders that too little is known of.
    """
    if known is None or known.samples < FEWEST_SERIES:
        return otherwise
    return min(max(known.p99 * MARGIN, SHORTEST_QUIET), LONGEST_QUIET)
