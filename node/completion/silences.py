"""Measures how long senders pause within a series, and derives the quiet time from that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

LATE_SECONDS = 600.0
"""An instance after a longer silence is late: it leads to a new revision, and is not waited for."""

FEWEST_SERIES = 20  # of a sender, before its quiet time is learned
MARGIN = 1.5  # factor on the longest silences: the next series may be a little slower
SHORTEST_QUIET = 1.0  # seconds; two associations of one series may follow that closely
LONGEST_QUIET = 300.0  # seconds; no sender delays its series by more


class Gap(StrEnum):
    """Which silence was measured."""

    RELEASED = "released"  # between the end of its associations and the next instance
    OPEN = "open"  # between two instances while an association was open


@dataclass(frozen=True, slots=True)
class Moment:
    """When an instance arrived.

    Attributes:
        at: seconds since 1970.
        association: the row of the association that brought it; None for an import.
    """

    at: float
    association: int | None


@dataclass(frozen=True, slots=True)
class Silences:
    """The longest silences that another instance followed, seconds; 0 where there was none."""

    released: float
    open: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The percentiles of a number that each of a sender's series has."""

    samples: int
    median: float
    p90: float
    p99: float
    longest: float


def silences(moments: Sequence[Moment], ends: dict[int, float]) -> Silences:
    """Find the longest silences of a series that another instance followed.

    Args:
        moments: of its instances, in the order of their arrival.
        ends: when each association ended, by its row, seconds since 1970; an association that is
            missing is still open.

    Returns:
        the longest silence of each kind, seconds.
    """
    released = during = 0.0
    seen: set[int] = set()
    for before, after in pairwise(moments):
        if before.association is not None:
            seen.add(before.association)
        over = [ends.get(association, float("inf")) for association in seen]
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
    """The quiet time that would have cut short at most one in a hundred of a sender's series.

    Args:
        known: the percentiles of its longest silences after a release, seconds; None if unknown.
        otherwise: the quiet time of senders of which too few series are known, seconds.

    Returns:
        the quiet time, seconds.
    """
    if known is None or known.samples < FEWEST_SERIES:
        return otherwise
    return min(max(known.p99 * MARGIN, SHORTEST_QUIET), LONGEST_QUIET)
