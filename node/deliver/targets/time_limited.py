"""A limit on the time of each attempt, even where the attempt hangs in the operating system.

Targets keep their deadlines by themselves as far as they can. A name look-up, a program that is
started from a share, or a write to a share cannot be cancelled from within the process. Such an
attempt is abandoned in its thread.
"""

from __future__ import annotations

from node.core.events import Delivery
from node.core.supervision import Background, background
from node.deliver.targets.target import FailureName, Target, TargetUnavailable


class TimeLimited:
    """Makes each attempt in a thread of its own, and waits for it for a limited time.

    At most one attempt is abandoned. The next one starts only after it has ended, so that threads
    do not pile up and a late attempt cannot overtake its successor.

    Args:
        target: makes the attempts.
        seconds: how long to wait for an attempt.
    """

    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self._seconds = seconds
        self._hanging: Background | None = None

    def deliver(self, delivery: Delivery) -> None:
        """Make one attempt.

        Raises:
            TargetUnavailable, DeliveryFailed, DeliveryRefused: as raised by the target.
            TargetUnavailable: the attempt, or an earlier one, did not end in time.
        """
        if self._hanging is not None and self._hanging.is_alive():
            raise TargetUnavailable(
                f"{FailureName.HANGING}: an earlier attempt still hangs in the operating system; "
                "check that the share or DNS server responds; the node tries again once that "
                "attempt has ended"
            )
        self._hanging = None
        ends: list[BaseException | None] = []

        def attempt() -> None:
            try:
                self.target.deliver(delivery)
            except BaseException as error:  # noqa: BLE001  raised below, in the waiting thread
                ends.append(error)
            else:
                ends.append(None)

        thread = background(f"delivery {delivery.id}", attempt)
        thread.join(self._seconds)
        if not ends:
            self._hanging = thread
            raise TargetUnavailable(
                f"{FailureName.TIMED_OUT}: the attempt hangs in the operating system and was "
                f"abandoned after {self._seconds:g} s; check that the share or DNS server responds"
            )
        if ends[0] is not None:
            raise ends[0]
