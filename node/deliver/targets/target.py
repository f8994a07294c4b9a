"""What all kinds of target have in common: the interface, and the errors of an attempt."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from node.core.errors import Permanent, Retryable
from node.core.events import Delivery

LONGEST_ERROR = 1000
"""Characters of an attempt's error that the outbox stores; text from a target has no limit."""


class FailureName(StrEnum):
    """Names, to search for, of failures that the node itself found rather than the target."""

    TIMED_OUT = "timed-out"
    HANGING = "still-hanging"
    BAD_HOST_NAME = "bad-host-name"
    UNUSABLE_TEXT = "unusable-text"
    INTERNAL_ERROR = "internal-error"


class TargetUnavailable(Retryable):
    """The target accepts no delivery at all now; its deliveries wait and keep their order.

    Args:
        sentence: what is wrong, for an administrator.
        after: seconds for which the target asked to be left alone (Retry-After).
    """

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after


class DeliveryFailed(Retryable):
    """This delivery failed and is tried again; deliveries of other series go on meanwhile.

    Args:
        sentence: what is wrong, for an administrator.
        output: what the target itself wrote; stored in the outbox, never logged.
    """

    def __init__(self, sentence: str, output: str = "") -> None:
        super().__init__(sentence)
        self.output = output


class DeliveryRefused(Permanent):
    """The target will never accept this delivery; it is not tried again."""


class Target(Protocol):
    """A receiver of deliveries."""

    def deliver(self, delivery: Delivery) -> None:
        """Make one attempt. A repeated delivery has the same key as before.

        Raises:
            TargetUnavailable, DeliveryFailed: the delivery is tried again later.
            DeliveryRefused: the delivery is given up.
        """
        ...


def shortened(text: str) -> str:
    """An error as the outbox stores it: one printable line of at most `LONGEST_ERROR` characters.

    A longer text ends with an ellipsis.
    """
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]} …"


def unexpected_failure(error: Exception, reference: str) -> DeliveryFailed:
    """A delivery's failure by an unexpected exception, without that exception's text.

    The text may quote the data that it is about, and thus a patient's name.

    Args:
        error: the exception.
        reference: where the log says more, from `node.core.errors.error_reference`.

    Returns:
        the error to treat the attempt by.
    """
    kind = type(error).__name__
    if isinstance(error, ValueError):
        return DeliveryFailed(
            f"{FailureName.UNUSABLE_TEXT}: a text in this delivery or in its target's settings "
            f"cannot be passed on ({kind}); look up reference {reference} in the log"
        )
    return DeliveryFailed(
        f"{FailureName.INTERNAL_ERROR}: {kind}; look up reference {reference} in the log"
    )
