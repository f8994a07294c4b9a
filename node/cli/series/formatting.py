"""Verdicts, histories, deliveries and damage in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.core.errors import NodeError
from node.core.events import Delivery, DeliveryState
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.damages import Damages
from node.storage.index.series.work import Work
from node.storage.run_file import running_node

_MOST_DEAD = 100
_MOST_DAMAGED = 20


def why(record: SeriesRecord) -> str:
    """Why a series is not ready, or what it lacks; empty for a complete series."""
    verdict = record.verdict or {}
    refused = [
        f"{item.get('reason')}: {item.get('sentence')}".removesuffix(".")
        for item in verdict.get("refusals") or ()
    ]
    lacking = [
        str(item.get("reason"))
        for item in verdict.get("reasons", ())
        if item.get("says") == Verdict.INCOMPLETE
    ]
    reasons = [*refused, *lacking]
    if record.state is SeriesState.SETTLED and verdict.get("waits"):
        reasons.append(str(verdict["waits"]))
    elif record.state is not SeriesState.READY and verdict.get("why"):
        reasons.append(str(verdict["why"]))
    return "; ".join(reasons)


def history(work: Work, uid: str) -> Iterator[dict[str, Any]]:
    """Every change of state of a series and who made it, oldest first.

    Args:
        uid: Series Instance UID or address of the series.

    Raises:
        NodeError: the index has no such series.
    """
    series = work.series(uid)
    if series is None:
        raise NodeError(f"there is no series {uid}; `rasnode status` lists the series")
    for event in work.history(series.pk):
        detail = dict(event["detail"])
        yield {
            "at": _moment(event["at"]),
            "actor": event["actor"],
            "from": event["from_state"],
            "to": event["to_state"],
            "revision": event["revision"],
            "why": detail.pop("why", detail.pop("cause", "")),
            "detail": detail,
        }


def deliveries(outbox: Outbox) -> dict[str, Any]:
    """How many deliveries are in each state, and those that the node has given up."""
    return {
        "counts": {str(state): 0 for state in DeliveryState} | outbox.counts(),
        "dead": [_dead(one) for one in outbox.in_state(DeliveryState.DEAD, _MOST_DEAD)],
    }


def delivery_warnings(root: Path) -> list[str]:
    """Which deliveries the running node cannot make, as it has found out itself."""
    own = running_node(root)
    faults = (own.faults or {}) if own else {}
    return [f"delivery {name} cannot work: {why}" for name, why in faults.items()]


def damage_warnings(damages: Damages) -> list[str]:
    """Which files are known to be damaged or lost."""
    named = [str(one) for one in damages.all(_MOST_DAMAGED)]
    more = sum(damages.count().values()) - len(named)
    return [*named, f"{more} more files are damaged: `rasnode verify` lists all"] if more else named


def _dead(delivery: Delivery) -> dict[str, Any]:
    return {
        "series_instance_uid": delivery.series_uid,
        "address": delivery.series,
        "target": delivery.target,
        "event": delivery.event,
        "revision": delivery.revision,
        "attempts": delivery.attempts,
        "error": delivery.error,
        "key": delivery.key,
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
