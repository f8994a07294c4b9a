"""What every way of delivering has in common."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from node.core.errors import Permanent, Retryable
from node.core.events import Delivery

LONGEST_ERROR = 1000
"""Characters of an attempt's error that the outbox keeps: what others say has no end."""


class Trouble(StrEnum):
    """Why an attempt failed, where it was not the target that said so. Names to search for."""

    TIMED_OUT = "timed-out"
    HANGING = "still-hanging"
    BAD_HOST_NAME = "bad-host-name"
    UNUSABLE_TEXT = "unusable-text"
    INTERNAL_ERROR = "internal-error"


class TargetDown(Retryable):
    """The target takes nothing from anybody now; whatever waits for it keeps its order.

    Args:
        after: seconds for which the target asked to be left alone.
    """

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after


class NotTaken(Retryable):
    """The target did not take this one; the next try may do better, and others may pass.

    Args:
        complaint: in the target's own words; kept in the outbox, never logged.
    """

    def __init__(self, sentence: str, complaint: str = "") -> None:
        super().__init__(sentence)
        self.complaint = complaint


class NeverTaken(Permanent):
    """The target refuses this one for good."""


class Target(Protocol):
    """Somebody or something that results are delivered to."""

    def deliver(self, delivery: Delivery) -> None:
        """Deliver once more, or for the first time: the delivery's key tells which is the same.

        Raises:
            TargetDown, NotTaken: it can be tried again.
            NeverTaken: it cannot.
        """
        ...


def kept(text: str) -> str:
    """An error as the outbox keeps it: one line that any database takes, not too long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]} …"


def surprise(error: Exception, reference: str) -> NotTaken:
    """What an exception that nobody foresaw means for a delivery; without its text.

    It may quote what it was about, and that may be a patient's name.

    Args:
        reference: where the log says more.
    """
    kind = type(error).__name__
    if isinstance(error, ValueError):
        return NotTaken(
            f"{Trouble.UNUSABLE_TEXT}: something in this delivery, or in the settings of its "
            f"target, cannot be passed on as it stands ({kind}, reference {reference} in the log)"
        )
    return NotTaken(f"{Trouble.INTERNAL_ERROR}: {kind}, reference {reference} in the log")
