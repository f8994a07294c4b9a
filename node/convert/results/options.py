"""What the caller says of a result beyond its voxels, and what follows from it: UIDs and dates."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

_NAMESPACE: Final = uuid.UUID("0b6d1f0e-5a0c-4a57-9b34-3f1c8f0d6c11")
"""Of UIDs that follow from a seed."""
DEFAULT_NUMBER: Final = 1000
"""Is added to the Series Number of the source where the caller knows no free one."""

NO_UNIT: Final = "1"
"""UCUM's unity."""


class Form(StrEnum):
    """The three kinds of Segmentation (PS3.3 C.8.20.2)."""

    BINARY = "binary"
    FRACTIONAL = "fractional"
    LABELMAP = "labelmap"


class Algorithm(NamedTuple):
    """What made a result; without one a person did."""

    name: str
    version: str


@dataclass(frozen=True)
class ResultOptions:
    """What the caller says of a result.

    Attributes:
        description: Series Description (0008,103E); empty: named after the source series.
        algorithm: what made it; None: Segment Algorithm Type is MANUAL.
        series_number: Series Number (0020,0011), unlike that of any other series of the study;
            None: the source's and `DEFAULT_NUMBER`.
        seed: UIDs follow from it: the same seed gives the same UIDs. By default they are new.
        made_at: the date and time that the objects bear.
        note: what was done to the voxels before they came here, such as resampling.
    """

    description: str = ""
    algorithm: Algorithm | None = None
    series_number: int | None = None
    seed: str = field(default_factory=lambda: uuid.uuid4().hex)
    made_at: datetime = field(default_factory=lambda: datetime.now().astimezone())
    note: str = ""

    def uid(self, *parts: object) -> str:
        """Return the UID of a part of the result (PS3.5 B.2).

        Args:
            parts: what tells it from the result's other UIDs.
        """
        return uid_of(self.seed, *parts)


def uid_of(*parts: object) -> str:
    """Return the UID that follows from some values (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(10).join(map(str, parts))).int}"
