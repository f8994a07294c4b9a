"""Detects one Series Instance UID in several studies or patients that are not copies."""

from __future__ import annotations

from collections.abc import Sequence

from node.core.errors import Reason
from node.core.records import SeriesRecord
from node.lifecycle.assembly.jobs import Refusal
from node.storage.index.series.namesakes import Part


def contradiction(series: SeriesRecord, others: Sequence[Part]) -> Refusal | None:
    """Why a series is not a volume because of other series with its UID.

    A series is a copy of another if all its SOP Instance UIDs occur there; each copy is a volume.
    Otherwise one series was split, or two series have one UID, and nothing says which images belong
    together. A series that was a volume before the others arrived stays one.

    Args:
        series: the series.
        others: the other series with its UID.

    Returns:
        the refusal; None if the series may be a volume.
    """
    if series.outputs:
        return None
    split = [part for part in others if part.copied < min(part.instances, series.instances)]
    if not split:
        return None
    under = " and ".join(
        sorted({"study" if part.study_uid != series.study_uid else "patient" for part in split})
    )
    there = "; ".join(
        f"{part.instances} as series {part.address} of study {part.study_uid}" for part in split
    )
    return Refusal(
        Reason.CONTRADICTORY_IDENTITY,
        f"The images of one Series Instance UID arrived under more than one {under}: "
        f"{series.instances} here, {there}. The node cannot tell which of them belong together; "
        "correct the sender, and send each part with a Series Instance UID of its own.",
    )
