"""Series Numbers for results: unlike those of all other series of the study."""

from __future__ import annotations

from typing import Final

from node.deliver.targets.results import EVENT
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.work import Work

LARGEST: Final = 2**31 - 1
"""VR IS (PS3.5 6.2)."""


def free_number(work: Work, outbox: Outbox, series_pk: int) -> int:
    """Return the first Series Number after those that a study has, and its results got.

    Args:
        work: the index.
        outbox: where results wait, or waited.
        series_pk: the row of one of the study's series.
    """
    taken = work.numbers_of_study(series_pk)
    sent = outbox.of_study(series_pk, EVENT)
    taken |= {int(one.payload.get("series_number", 0)) for one in sent}
    number = max(taken, default=0) + 1
    if 0 < number <= LARGEST:
        return number
    return next(number for number in range(1, LARGEST) if number not in taken)
