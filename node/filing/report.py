"""What the filer tells its parent after each batch, as bytes of a fixed length."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Final

from node.filing.filer import Filed
from node.records import AssociationEnd, Stored

_OUTCOMES: Final = tuple(Stored)
_ENDS: Final = tuple(end for end in AssociationEnd if end is not AssociationEnd.OPEN)
_FORM: Final = struct.Struct(f"<{len(_OUTCOMES) + len(_ENDS) + 1}Q")

LENGTH: Final = _FORM.size


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of a batch."""

    outcomes: dict[Stored, int]
    ends: dict[AssociationEnd, int]
    size: int


def encode(filed: Filed) -> bytes:
    """A report of a batch."""
    outcomes = Counter(outcome for outcome, _ in filed.outcomes)
    ends = Counter(filed.ended)
    size = sum(size for _, size in filed.outcomes)
    return _FORM.pack(*(outcomes[one] for one in _OUTCOMES), *(ends[one] for one in _ENDS), size)


def decode(data: bytes) -> Report:
    """Read what `encode` wrote."""
    *counts, size = _FORM.unpack(data)
    split = len(_OUTCOMES)
    return Report(
        dict(zip(_OUTCOMES, counts[:split], strict=True)),
        dict(zip(_ENDS, counts[split:], strict=True)),
        size,
    )
