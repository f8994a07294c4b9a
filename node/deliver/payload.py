"""The payload of a delivery: one JSON object, see `docs/delivery.md`. It identifies no patient."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from node.core.events import SeriesEvent
from node.core.records import address_of

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
        "root": output,
        "files": list(event.files),
        "replaced": list(event.replaced),
    }


def encoded(payload: dict[str, Any]) -> bytes:
    """The object as UTF-8; a lone surrogate, which UTF-8 cannot encode, as a JSON escape."""
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True)
    return text.encode(errors="backslashreplace")
