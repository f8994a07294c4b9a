"""A target whose deliveries end in time, even where they hang in the system.

Targets keep their deadlines by themselves as far as they can. A name that is being resolved, a
program that is started from a dead share, or a file that is being written to one, cannot be called
off from within: such an attempt is left behind.
"""

from __future__ import annotations

from node.core.events import Delivery
from node.core.supervision import Background, background
from node.deliver.target import Target, TargetDown, Trouble


class Bounded:
    """Tries each delivery in a thread of its own, and waits for it only so long.

    At most one attempt is left behind: before it has ended no other is begun, so that nothing
    piles up and a late one cannot overtake its successor.

    Args:
        seconds: how long to wait for an attempt.
    """

    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self._seconds = seconds
        self._hanging: Background | None = None

    def deliver(self, delivery: Delivery) -> None:
        """As the target does.

        Raises:
            TargetDown, NotTaken, NeverTaken: as the target says.
            TargetDown: the attempt did not end in time, or an earlier one still has not.
        """
        if self._hanging is not None and self._hanging.is_alive():
            raise TargetDown(
                f"{Trouble.HANGING}: an earlier attempt hangs in the operating system (a share "
                "that does not answer, or DNS); nothing is tried before it ends"
            )
        self._hanging = None
        ends: list[BaseException | None] = []

        def attempt() -> None:
            try:
                self.target.deliver(delivery)
            except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
                ends.append(error)
            else:
                ends.append(None)

        thread = background(f"delivery {delivery.id}", attempt)
        thread.join(self._seconds)
        if not ends:
            self._hanging = thread
            raise TargetDown(
                f"{Trouble.TIMED_OUT}: the attempt hangs in the operating system (a share that "
                f"does not answer, or DNS) and was given up after {self._seconds:g} s"
            )
        if ends[0] is not None:
            raise ends[0]
