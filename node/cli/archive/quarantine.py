"""What `status` and `doctor` show of the quarantine and of conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from node.core.settings.model import Settings
from node.storage.index.engine import Index
from node.storage.index.series.conflicts import Conflicts, Copies
from node.storage.quarantine import Kind, Left, Quarantine

_MOST_NAMED: Final = 3  # senders


@dataclass(frozen=True, slots=True)
class Kept:
    """Files that are kept in addition to the archived instances, largest sender first."""

    quarantine: list[Left]
    conflicts: list[Copies]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "quarantine": [asdict(one) for one in self.quarantine],
            "conflicts": [asdict(one) for one in self.conflicts],
        }


def kept(settings: Settings, index: Index) -> Kept:
    """What is in quarantine, and which instances are in conflict."""
    return Kept(left_in_quarantine(settings), Conflicts(index).left())


def left_in_quarantine(settings: Settings) -> list[Left]:
    """What is in quarantine, by sender."""
    return Quarantine(settings.storage.root / "quarantine").left()


def lines(found: Kept) -> Iterator[str]:
    """Lines for people; none if there is nothing to show."""
    for kind, what in ((Kind.REFUSED, "refused"), (Kind.ANSWERED, "answered and not ingested")):
        if some := [one for one in found.quarantine if one.kind is kind]:
            yield f"in quarantine, {what}: {amount(some)}"
    if found.conflicts:
        yield f"in conflict with an instance received before: {amount(found.conflicts)}"


def amount(found: Sequence[Left | Copies]) -> str:
    """Files, size and the senders of most of them, in words."""
    files, size = sum(one.files for one in found), sum(one.size for one in found)
    named = ", ".join(f"{one.sender}: {one.files}" for one in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more senders" if len(found) > _MOST_NAMED else ""
    return f"{files} files, {size / 2**20:.1f} MiB ({named}{more})"
