"""What the ingester tells its parent after each batch, as a line of numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from node.core.records import AssociationEnd, Stored
from node.storage.ingest.ingester import Ingested

_OUTCOMES: Final = tuple(Stored)
_ENDS: Final = tuple(end for end in AssociationEnd if end is not AssociationEnd.OPEN)
_INGESTED: Final = b"ingested"


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of a batch."""

    outcomes: dict[Stored, int]
    ends: dict[AssociationEnd, int]
    size: int


def encode(ingested: Ingested) -> bytes:
    """A report of a batch."""
    outcomes = Counter(outcome for outcome, _ in ingested.outcomes)
    ends = Counter(ingested.ended)
    size = sum(size for _, size in ingested.outcomes)
    counts = [*(outcomes[one] for one in _OUTCOMES), *(ends[one] for one in _ENDS), size]
    return b"%s %s\n" % (_INGESTED, " ".join(map(str, counts)).encode())


def decode(line: bytes) -> Report:
    """Read what `encode` wrote."""
    *counts, size = (int(number) for number in line.split()[1:])
    split = len(_OUTCOMES)
    return Report(
        dict(zip(_OUTCOMES, counts[:split], strict=True)),
        dict(zip(_ENDS, counts[split:], strict=True)),
        size,
    )
