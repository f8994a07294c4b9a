"""Takes what is in the outbox to its targets, one thread a target, until it is delivered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Protocol

from node.core.errors import NodeError, error_reference, traced
from node.core.events import Delivery
from node.core.fault_points import fault_point
from node.core.supervision import Heartbeat, Loop
from node.deliver.target import NeverTaken, NotTaken, Target, TargetDown, kept, surprise

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0  # before the second attempt; doubled each time,
LONGEST_PAUSE_SECONDS = 300.0  # up to this
_PACE_SECONDS = 0.05
IDLE_SECONDS = 5.0  # how late a delivery that another process wrote may be noticed


class Outbox(Protocol):
    """What the courier needs of `node.storage.index.peers.outbox.Outbox`."""

    def due(self, now: float, target: str, limit: int = ...) -> list[Delivery]:
        """What may be delivered now, oldest first, of each series only the oldest."""
        ...

    def next_due(self, target: str) -> float | None:
        """When the next delivery may be tried."""
        ...

    def targets(self) -> list[str]:
        """Every target that something waits for."""
        ...

    def hasten(self, target: str, now: float) -> None:
        """Everything that waits for a target may be tried at once."""
        ...

    def delivered(self, delivery: Delivery, now: float) -> None:
        """Note success."""
        ...

    def failed(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt at one delivery."""
        ...

    def postpone(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt, and leave its target alone until `due`."""
        ...

    def bury(self, delivery: Delivery, now: float, error: str) -> None:
        """Give up."""
        ...


class Route:
    """A target, and how long to try.

    Args:
        give_up_after: seconds from a delivery's making until it is given up.
        longest: seconds that one attempt may take.
    """

    def __init__(
        self, name: str, target: Target, give_up_after: float, longest: float = 60.0
    ) -> None:
        self.name = name
        self.target = target
        self.give_up_after = give_up_after
        self.longest = longest
        self.down_until = 0.0


class OutboxDispatcher:
    """Owner of all attempts.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._routes: dict[str, Route] = {}
        self._loops: dict[str, Loop] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self, routes: Mapping[str, Route]) -> None:
        """Deliver to these targets; call again when the settings have changed.

        What waits for a target that is no more stays in the outbox, in case it comes back.
        """
        with self._lock:
            self._routes = dict(routes)
            for name in routes:
                if name not in self._loops:
                    self._outbox.hasten(name, self._clock())
                    # A target that hangs is no reason to restart a node that receives.
                    loop = Loop(
                        f"deliveries to {name}",
                        partial(self._step, name),
                        vital=False,
                        pace=_PACE_SECONDS,
                    )
                    self._loops[name] = loop
                    loop.start()
        lost = sorted(set(self._outbox.targets()) - set(routes))
        if lost:
            log.warning("deliveries wait for targets that are not in deliver: %s", ", ".join(lost))

    def wake(self) -> None:
        """Something is in the outbox."""
        for loop in list(self._loops.values()):
            loop.wake()

    def stop(self, timeout: float) -> None:
        """Let attempts end, but start no other."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for loop in self._loops.values():
            loop.ask_to_stop()
        for loop in self._loops.values():
            loop.stop(max(0.0, deadline - time.monotonic()))

    def step(self, name: str, heartbeat: Heartbeat | None = None) -> float:
        """Deliver everything that is due to a target.

        Args:
            heartbeat: told how long each attempt may take.

        Returns:
            how many seconds nothing will have to be done, unless something comes.
        """
        route = self._routes.get(name)
        if route is None:
            return IDLE_SECONDS
        while not self._stopping.is_set() and self._clock() >= route.down_until:
            found = self._outbox.due(self._clock(), name, limit=1)
            if not found:
                break
            with heartbeat.patience(route.longest) if heartbeat else nullcontext():
                self._attempt(route, found[0])
        due = self._outbox.next_due(name)
        if due is None:
            return IDLE_SECONDS
        return min(IDLE_SECONDS, max(0.0, max(due, route.down_until) - self._clock()))

    def _step(self, name: str) -> float:
        return self.step(name, self._loops[name].heartbeat)

    def _attempt(self, route: Route, delivery: Delivery) -> None:
        try:
            route.target.deliver(delivery)
        except NeverTaken as error:
            self._give_up(delivery, str(error))
        except NodeError as error:
            self._later(route, delivery, error)
        except Exception as error:  # noqa: BLE001  it costs this delivery, never the courier
            place = error_reference(error)
            log.error(
                "a delivery to %s met an error that nobody foresaw (reference %s): %s",
                delivery.target,
                place,
                traced(error),
            )
            self._later(route, delivery, surprise(error, place))
        else:
            fault_point("delivery-made")
            self._outbox.delivered(delivery, self._clock())
            fault_point("delivery-noted")
            log.info("%s of series %s: %s", delivery.target, delivery.series, delivery.event)

    def _later(self, route: Route, delivery: Delivery, error: NodeError) -> None:
        now = self._clock()
        if now - delivery.created_at >= route.give_up_after:
            attempts = delivery.attempts + 1
            self._give_up(delivery, f"given up after {attempts} attempts: {error}", _said(error))
            return
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(delivery.attempts, 20), LONGEST_PAUSE_SECONDS)
        if isinstance(error, TargetDown):
            # Later news must not overtake what waits: nobody tries until then.
            pause = max(pause, error.after or 0.0)
            route.down_until = now + pause
            self._outbox.postpone(delivery, now + pause, kept(str(error)))
        else:
            self._outbox.failed(delivery, now + pause, kept(f"{error}{_said(error)}"))
        log.warning("%s: %s; trying again in %g s", delivery.target, kept(str(error)), pause)

    def _give_up(self, delivery: Delivery, error: str, said: str = "") -> None:
        self._outbox.bury(delivery, self._clock(), kept(f"{error}{said}"))
        log.error(
            "%s will not get %s of series %s: %s",
            delivery.target,
            delivery.event,
            delivery.series,
            kept(error),
        )


def _said(error: NodeError) -> str:
    """What a target said itself: for the outbox, as nobody knows what it is."""
    return f": {error.complaint}" if isinstance(error, NotTaken) and error.complaint else ""
