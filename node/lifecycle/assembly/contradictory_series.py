"""One Series Instance UID under several studies or patients: when its parts are no volumes."""

from __future__ import annotations

from collections.abc import Sequence

from node.core.errors import Reason
from node.core.records import SeriesRecord
from node.lifecycle.assembly.jobs import Refusal
from node.storage.index.series.namesakes import Part


def contradiction(series: SeriesRecord, others: Sequence[Part]) -> Refusal | None:
    """Why a series is no volume as others came under its UID; None if it may be one.

    Others that have the same SOP Instance UIDs, or some of them and no others, are copies: each is
    a volume by itself. Otherwise one series was torn, or two were given one UID, and nothing says
    which images belong together. What was a volume before the others came stays one.

    Args:
        others: the other series of its UID.
    """
    if series.outputs:
        return None
    torn = [part for part in others if part.copied < min(part.instances, series.instances)]
    if not torn:
        return None
    under = " and ".join(
        sorted({"study" if part.study_uid != series.study_uid else "patient" for part in torn})
    )
    there = "; ".join(
        f"{part.instances} as series {part.address} of study {part.study_uid}" for part in torn
    )
    return Refusal(
        Reason.CONTRADICTORY_IDENTITY,
        f"The images of one Series Instance UID came under more than one {under}: "
        f"{series.instances} here, {there}. Nothing says which of them belong together; correct "
        "the sender, and send each part with a Series Instance UID of its own.",
    )
