"""Events that are only assumed, to see which deliveries would apply to a series."""

from __future__ import annotations

import time

from node.core.events import EventType, NewDelivery, SeriesEvent
from node.core.records import SeriesState
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.operator_actions import NoSuchSeries
from node.storage.index.series.work import Work


def assumed_event(work: Work, uid: str, event: EventType) -> SeriesEvent:
    """The event as the node would publish it for a series in its present state.

    Args:
        work: the series.
        uid: of the series.
        event: that is assumed.

    Raises:
        NoSuchSeries: the index has no series of this UID.
    """
    record = work.series(uid)
    if record is None:
        raise NoSuchSeries(f"there is no series {uid}; `rasnode status` lists the series")
    published: list[SeriesEvent] = []

    def publish(found: SeriesEvent) -> list[NewDelivery]:
        published.append(found)
        return []

    state = SeriesState.READY if event is EventType.SUPERSEDED else SeriesState(str(event))
    EventPublisher(work, publish).deliveries_for(
        record, event, state, record.verdict or {}, time.time()
    )
    return published[0]
