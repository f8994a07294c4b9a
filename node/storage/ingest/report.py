"""The ingester's report to its parent process after each batch: a line of numbers."""

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
    """Counts of a batch.

    Attributes:
        outcomes: instances, by how the index took them.
        ends: associations, by how they ended.
        size: bytes of the instances' files.
    """

    outcomes: dict[Stored, int]
    ends: dict[AssociationEnd, int]
    size: int


def encode(ingested: Ingested) -> bytes:
    """The report of a batch as a line."""
    outcomes = Counter(outcome for outcome, _ in ingested.outcomes)
    ends = Counter(ingested.ended)
    size = sum(size for _, size in ingested.outcomes)
    counts = [*(outcomes[one] for one in _OUTCOMES), *(ends[one] for one in _ENDS), size]
    return b"%s %s\n" % (_INGESTED, " ".join(map(str, counts)).encode())


def decode(line: bytes) -> Report:
    """A report from the line that `encode` made."""
    *counts, size = (int(number) for number in line.split()[1:])
    split = len(_OUTCOMES)
    return Report(
        dict(zip(_OUTCOMES, counts[:split], strict=True)),
        dict(zip(_ENDS, counts[split:], strict=True)),
        size,
    )
