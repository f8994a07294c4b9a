"""What every way of delivering has in common."""

from __future__ import annotations

from typing import Protocol

from node.deliveries import Delivery
from node.errors import Permanent, Retryable


class TargetDown(Retryable):
    """The target takes nothing from anybody now; whatever waits for it keeps its order.

    Args:
        after: seconds for which the target asked to be left alone.
    """

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after


class NotTaken(Retryable):
    """The target did not take this one; the next try may do better, and others may pass."""


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
