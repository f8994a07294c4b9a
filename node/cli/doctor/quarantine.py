"""What `doctor` checks of the quarantine and of conflicts."""

from __future__ import annotations

from typing import Final

from node.cli.archive.quarantine import amount
from node.cli.doctor.finding import Finding, Grade
from node.core.settings.model import Storage
from node.storage.index.series.conflicts import Copies
from node.storage.quarantine import Kind, Left

_MUCH: Final = 0.8
"""Of the limit per sender: time to look at what is kept."""


def check_quarantine(found: list[Left], storage: Storage) -> Finding:
    """Whether a person has to look at the quarantine."""
    most = storage.quarantine.per_peer
    answered = [one for one in found if one.kind is Kind.ANSWERED]
    full = [one.sender for one in answered if one.size > most]
    if full:
        return Finding(
            "quarantine",
            Grade.WRONG,
            f"storage.quarantine.per_peer is reached: instances from {', '.join(full)} are refused",
            "read in the .json files why they were not ingested, and move them out of quarantine/",
        )
    if answered:
        return Finding(
            "quarantine",
            Grade.WRONG,
            f"answered and not ingested: {amount(answered)}",
            "read the reason in the .json files; `rasnode import` tries again, as after an upgrade",
        )
    if any(one.size > _MUCH * most for one in found):
        return Finding(
            "quarantine",
            Grade.NOTE,
            f"many instances were refused: {amount(found)}",
            "read the reason in the .json files in quarantine/; new files replace the oldest ones",
        )
    return Finding("quarantine", Grade.GOOD, f"refused: {amount(found)}" if found else "empty")


def check_conflicts(found: list[Copies], storage: Storage) -> Finding:
    """Whether a sender has reached the limit for conflicting versions of instances."""
    most = storage.conflicts.per_peer
    if full := [one.sender for one in found if one.size > most]:
        return Finding(
            "conflicts",
            Grade.WRONG,
            f"storage.conflicts.per_peer is reached: further versions of instances from "
            f"{', '.join(full)} are refused",
            "find out why it sends changed instances under the same UIDs, or raise the limit",
        )
    if any(one.size > _MUCH * most for one in found):
        advice = (
            "`rasnode ls --level instance --json` lists them; the limit is "
            "storage.conflicts.per_peer"
        )
        return Finding("conflicts", Grade.NOTE, f"many: {amount(found)}", advice)
    return Finding("conflicts", Grade.GOOD, amount(found) if found else "none")
