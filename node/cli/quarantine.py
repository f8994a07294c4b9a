"""What `status` and `doctor` say of quarantine and conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from node.cli.doctor.findings import Finding, Grade
from node.core.settings.model import Settings, Storage
from node.storage.index.engine import Index
from node.storage.index.series.conflicts import Conflicts, Copies
from node.storage.quarantine import Kind, Left, Quarantine

_MOST_NAMED: Final = 3  # senders
_MUCH: Final = 0.8  # of what a sender may leave: somebody should look


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept beside the instances that count, by sender; who left most comes first."""

    quarantine: list[Left]
    conflicts: list[Copies]

    def said(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "quarantine": [asdict(one) for one in self.quarantine],
            "conflicts": [asdict(one) for one in self.conflicts],
        }


def kept(settings: Settings, index: Index) -> Kept:
    """Look at both."""
    return Kept(left_in_quarantine(settings), Conflicts(index).left())


def left_in_quarantine(settings: Settings) -> list[Left]:
    """Look at the quarantine."""
    return Quarantine(settings.storage.root / "quarantine").left()


def lines(found: Kept) -> Iterator[str]:
    """For people; nothing where there is nothing."""
    for kind, what in ((Kind.REFUSED, "refused"), (Kind.ANSWERED, "answered and not ingested")):
        if some := [one for one in found.quarantine if one.kind is kind]:
            yield f"in quarantine, {what}: {_amount(some)}"
    if found.conflicts:
        yield f"in conflict with what was there before: {_amount(found.conflicts)}"


def check_quarantine(found: list[Left], storage: Storage) -> Finding:
    """Is anything in quarantine that somebody has to look at."""
    most = storage.quarantine.per_peer
    answered = [one for one in found if one.kind is Kind.ANSWERED]
    full = [one.sender for one in answered if one.size > most]
    if full:
        return Finding(
            "quarantine",
            Grade.WRONG,
            f"storage.quarantine.per_peer is reached: nothing is taken from {', '.join(full)}",
            "see in the .json files why it could not be ingested, and move it out of quarantine/",
        )
    if answered:
        return Finding(
            "quarantine",
            Grade.WRONG,
            f"answered and not ingested: {_amount(answered)}",
            "the .json files say why; rasnode import tries again, for example after an upgrade",
        )
    if any(one.size > _MUCH * most for one in found):
        return Finding(
            "quarantine",
            Grade.NOTE,
            f"much is refused: {_amount(found)}",
            "the .json files in quarantine/ say why; the oldest is removed for what comes",
        )
    return Finding("quarantine", Grade.GOOD, f"refused: {_amount(found)}" if found else "empty")


def check_conflicts(found: list[Copies], storage: Storage) -> Finding:
    """Has anybody left so many other versions of instances that no more are taken."""
    most = storage.conflicts.per_peer
    if full := [one.sender for one in found if one.size > most]:
        return Finding(
            "conflicts",
            Grade.WRONG,
            f"storage.conflicts.per_peer is reached: no other version of an instance is taken "
            f"from {', '.join(full)}",
            "see why it sends changed instances under the same UIDs; or set the key higher",
        )
    if any(one.size > _MUCH * most for one in found):
        advice = "rasnode ls --level instance --json names them; storage.conflicts.per_peer"
        return Finding("conflicts", Grade.NOTE, f"many: {_amount(found)}", advice)
    return Finding("conflicts", Grade.GOOD, _amount(found) if found else "none")


def _amount(found: Sequence[Left | Copies]) -> str:
    files, size = sum(one.files for one in found), sum(one.size for one in found)
    named = ", ".join(f"{one.sender}: {one.files}" for one in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} senders more" if len(found) > _MOST_NAMED else ""
    return f"{files} files, {size / 2**20:.1f} MiB ({named}{more})"
