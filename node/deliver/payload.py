"""What a delivery says: one JSON object, documented in `docs/delivery.md`. No patient in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from node.core.events import SeriesEvent
from node.core.records import address_of

SCHEMA = 1


def payload(news: SeriesEvent, key: str, output: str) -> dict[str, Any]:
    """The object.

    Args:
        key: the idempotency key.
        output: the output folder, which the files are relative to.
    """
    number = news.attributes.get("SeriesNumber")
    return {
        "schema": SCHEMA,
        "event": str(news.event_type),
        "key": key,
        "at": datetime.fromtimestamp(news.at, UTC).isoformat(timespec="milliseconds"),
        "series_instance_uid": news.series_uid,
        "study_instance_uid": news.study_uid,
        "address": address_of(news.series_uid, news.part),
        "modality": str(news.attributes.get("Modality") or ""),
        "series_number": str(number) if number is not None else "",
        "senders": list(news.senders),
        "revision": news.revision,
        "state": str(news.state),
        "verdict": str(news.verdict),
        "reasons": list(news.reasons),
        "root": output,
        "files": list(news.files),
        "replaced": list(news.replaced),
    }


def encoded(payload: dict[str, Any]) -> bytes:
    """The object as UTF-8; half a surrogate pair, which that has not, as JSON's escape for it."""
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True)
    return text.encode(errors="backslashreplace")
