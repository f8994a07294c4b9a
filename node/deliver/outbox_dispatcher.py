"""Delivers what is in the outbox, one thread for each target, until it is delivered or given up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

from node.core.errors import NodeError, error_reference, traced
from node.core.events import Delivery
from node.core.fault_points import fault_point
from node.core.supervision import Heartbeat, Loop
from node.core.supervision.retry import backoff
from node.deliver.targets.target import (
    DeliveryFailed,
    DeliveryRefused,
    Target,
    TargetUnavailable,
    shortened,
    unexpected_failure,
)

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0  # before the second attempt; doubled each time,
LONGEST_PAUSE_SECONDS = 300.0  # up to this
_pause = backoff(FIRST_PAUSE_SECONDS, 2, LONGEST_PAUSE_SECONDS)
_PACE_SECONDS = 0.05
IDLE_SECONDS = 5.0  # how late a delivery that another process added may be noticed


class Outbox(Protocol):
    """What the dispatcher needs of `node.storage.index.peers.outbox.Outbox`."""

    def due(self, now: float, target: str, limit: int = ...) -> list[Delivery]:
        """The deliveries that may be tried now: of each series the oldest, oldest first.

        Args:
            now: seconds since 1970.
            target: the name of the entry of `deliver:`.
            limit: the largest number of deliveries.
        """
        ...

    def next_due(self, target: str) -> float | None:
        """When the next delivery may be tried; None if there is none."""
        ...

    def targets(self) -> list[str]:
        """Every target that a delivery waits for."""
        ...

    def hasten(self, target: str, now: float) -> None:
        """Let every delivery that waits for a target be tried at once.

        Args:
            target: the name of the entry of `deliver:`.
            now: seconds since 1970.
        """
        ...

    def delivered(self, delivery: Delivery, now: float) -> None:
        """Record success.

        Args:
            delivery: the delivery.
            now: seconds since 1970.
        """
        ...

    def failed(self, delivery: Delivery, due: float, error: str) -> None:
        """Record a failed attempt; deliveries of other series go on.

        Args:
            delivery: the delivery.
            due: when it may be tried again, seconds since 1970.
            error: why the attempt failed.
        """
        ...

    def postpone(self, delivery: Delivery, due: float, error: str) -> None:
        """Record a failed attempt, and let nothing be tried at its target before `due`.

        Args:
            delivery: the delivery.
            due: when its target may be tried again, seconds since 1970.
            error: why the attempt failed.
        """
        ...

    def bury(self, delivery: Delivery, now: float, error: str) -> None:
        """Give a delivery up.

        Args:
            delivery: the delivery.
            now: seconds since 1970.
            error: why.
        """
        ...


class Route:
    """A target, and for how long to try.

    Args:
        name: of the entry of `deliver:`.
        target: makes the attempts.
        give_up_after: seconds after which a delivery is given up, counted from its event.
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
    """Makes all attempts at deliveries.

    Args:
        outbox: where deliveries wait.
        clock: returns seconds since 1970.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._routes: dict[str, Route] = {}
        self._loops: dict[str, Loop] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self, routes: Mapping[str, Route]) -> None:
        """Deliver to these targets; call it again when the settings have changed.

        A delivery whose target is no longer in the settings stays in the outbox.
        """
        with self._lock:
            self._routes = dict(routes)
            for name in routes:
                if name not in self._loops:
                    self._outbox.hasten(name, self._clock())
                    # A target that hangs must not restart a node that receives.
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
            log.warning(
                "deliveries wait for targets that the settings no longer have: %s; "
                "add them to deliver: again, and send SIGHUP",
                ", ".join(lost),
            )

    def wake(self) -> None:
        """Look at the outbox now: there is a new delivery."""
        for loop in list(self._loops.values()):
            loop.wake()

    def stop(self, timeout: float) -> None:
        """Start no more attempts, and wait up to `timeout` seconds for those that run."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for loop in self._loops.values():
            loop.ask_to_stop()
        for loop in self._loops.values():
            loop.stop(max(0.0, deadline - time.monotonic()))

    def step(self, name: str, heartbeat: Heartbeat | None = None) -> float:
        """Make every attempt at a target that is due.

        Args:
            name: of the target.
            heartbeat: is told how long each attempt may take.

        Returns:
            the seconds until the next attempt is due, if no delivery is added.
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
        except DeliveryRefused as error:
            self._give_up(delivery, str(error))
        except NodeError as error:
            self._later(route, delivery, error)
        except Exception as error:  # noqa: BLE001  it costs this delivery, never the loop
            reference = error_reference(error)
            log.error(
                "a delivery of series %s to %s failed by an unexpected error (reference %s); "
                "please report it: %s",
                delivery.series,
                delivery.target,
                reference,
                traced(error),
                extra=_fields(delivery),
            )
            self._later(route, delivery, unexpected_failure(error, reference))
        else:
            fault_point("delivery-made")
            self._outbox.delivered(delivery, self._clock())
            fault_point("delivery-noted")
            log.info(
                "delivered event %s of series %s to %s",
                delivery.event,
                delivery.series,
                delivery.target,
                extra=_fields(delivery),
            )

    def _later(self, route: Route, delivery: Delivery, error: NodeError) -> None:
        now = self._clock()
        if now - delivery.created_at >= route.give_up_after:
            attempts = delivery.attempts + 1
            self._give_up(delivery, f"given up after {attempts} attempts: {error}", _output(error))
            return
        pause = _pause(delivery.attempts + 1)
        if isinstance(error, TargetUnavailable):
            # A later event must not overtake one that waits: nothing is tried until then.
            pause = max(pause, error.after or 0.0)
            route.down_until = now + pause
            self._outbox.postpone(delivery, now + pause, shortened(str(error)))
        else:
            self._outbox.failed(delivery, now + pause, shortened(f"{error}{_output(error)}"))
        log.warning(
            "event %s of series %s was not delivered to %s: %s; the node tries again in %g s",
            delivery.event,
            delivery.series,
            delivery.target,
            shortened(str(error)),
            pause,
            extra=_fields(delivery),
        )

    def _give_up(self, delivery: Delivery, error: str, output: str = "") -> None:
        self._outbox.bury(delivery, self._clock(), shortened(f"{error}{output}"))
        log.error(
            "gave up event %s of series %s to %s: %s; `rasnode retry %s` tries again",
            delivery.event,
            delivery.series,
            delivery.target,
            shortened(error),
            delivery.series,
            extra=_fields(delivery),
        )


def _output(error: NodeError) -> str:
    """What a target itself wrote: for the outbox only, as it may contain anything."""
    return f": {error.output}" if isinstance(error, DeliveryFailed) and error.output else ""


def _fields(delivery: Delivery) -> dict[str, Any]:
    """The fields of a log record about a delivery."""
    return {"delivery": delivery.id, "series": delivery.series}
