"""What a check of `doctor` has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    NOTE = "note"  # works, but an administrator should know
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: name of the check.
        grade: how bad it is.
        found: what the check found.
        advice: what to do; empty if there is nothing to do.
    """

    check: str
    grade: Grade
    found: str
    advice: str = ""
