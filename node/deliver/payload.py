"""The payload of a delivery: one JSON object, see `docs/delivery.md`. It identifies no patient."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from node.core.events import Delivery, SeriesEvent, StudyEvent, StudySeriesTold
from node.core.records import StoredInstance, StudyState, address_of

SCHEMA = 1


def payload(event: SeriesEvent, key: str, output: str) -> dict[str, Any]:
    """The payload that tells a target of an event.

    Args:
        event: what happened to the series.
        key: the idempotency key.
        output: the output folder, which the files are relative to.

    Returns:
        the object, of values that JSON knows.
    """
    number = event.attributes.get("SeriesNumber")
    return {
        "schema": SCHEMA,
        "level": "series",
        "event": str(event.event_type),
        "key": key,
        "at": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
        "series_instance_uid": event.series_uid,
        "study_instance_uid": event.study_uid,
        "address": address_of(event.series_uid, event.part),
        "modality": str(event.attributes.get("Modality") or ""),
        "series_number": str(number) if number is not None else "",
        "senders": list(event.senders),
        "revision": event.revision,
        "state": str(event.state),
        "verdict": str(event.verdict),
        "reasons": list(event.reasons),
        "quality": event.quality,
        "drift": list(event.drift),
        "root": output,
        "files": list(event.files),
        "replaced": list(event.replaced),
    }


def study_payload(
    event: StudyEvent, series: Sequence[StudySeriesTold], key: str, output: str
) -> dict[str, Any]:
    """The payload that tells a target of an event of a study.

    Args:
        event: what happened to the study.
        series: those of its series that the target is told of.
        key: the idempotency key.
        output: the output folder, which the files are relative to.

    Returns:
        the object, of values that JSON knows.
    """
    return {
        "schema": SCHEMA,
        "level": "study",
        "event": str(event.event_type),
        "key": key,
        "at": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
        "series_instance_uid": "",
        "study_instance_uid": event.study_uid,
        "revision": event.revision,
        "state": str(StudyState.READY),
        "verdict": str(event.verdict),
        "reasons": list(event.reasons),
        "root": output,
        "files": [name for one in series for name in one.told["outputs"]],
        "series": [one.told for one in series],
        "drift": drift_for(event, series),
    }


def drift_for(event: StudyEvent, series: Sequence[StudySeriesTold]) -> list[dict[str, Any]]:
    """What a target is told of missing series: by the protocols of the series that it is told of.

    Args:
        event: what happened to the study.
        series: those of its series that the target is told of.
    """
    known = {one.told["address"] for one in series}
    return [
        {key: value for key, value in one.items() if key != "compared"}
        for one in event.drift
        if known & set(one["compared"])
    ]


AddInstances = Callable[[Delivery], dict[str, Any]]
"""Returns the payload of a delivery with the series' instances in it."""


def with_paths(instances: Callable[[int], Sequence[StoredInstance]], archive: Path) -> AddInstances:
    """Return what adds the paths of a series' instances, as they are when it is delivered.

    Args:
        instances: of a series, by its row.
        archive: the folder that their paths are relative to.
    """

    def added(delivery: Delivery) -> dict[str, Any]:
        if _is_of_study(delivery):
            return delivery.payload
        found = [one for one in instances(delivery.series_pk) if not one.conflict]
        paths = [str(archive / one.path) for one in found]
        return {**delivery.payload, "instances": paths}

    return added


def with_links(instances: Callable[[int], Sequence[StoredInstance]], base: str) -> AddInstances:
    """Return what adds the URLs of a series' instances in the node's API.

    Args:
        instances: of a series, by its row.
        base: the URL of the node's page.
    """

    def added(delivery: Delivery) -> dict[str, Any]:
        if _is_of_study(delivery):
            return delivery.payload
        found = [one for one in instances(delivery.series_pk) if not one.conflict]
        series = quote(delivery.series, safe="")
        links = [f"{base}/api/series/{series}/instances/{one.sop_instance_uid}" for one in found]
        return {**delivery.payload, "instances": links}

    return added


def _is_of_study(delivery: Delivery) -> bool:
    """Whether it tells of a study; it then names the series, and not each instance."""
    return bool(delivery.payload.get("level") == "study")


def encoded(payload: dict[str, Any]) -> bytes:
    """The object as UTF-8; a lone surrogate, which UTF-8 cannot encode, as a JSON escape."""
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True)
    return text.encode(errors="backslashreplace")
