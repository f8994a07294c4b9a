"""A delivery to try targets with."""

from __future__ import annotations

from typing import Any

from node.core.events import Delivery, DeliveryState

FILES = ["s/a.json", "s/a.manifest.json", "s/a.nii.gz"]


def delivery(**payload: Any) -> Delivery:
    event = payload.pop("event", "ready")
    whole = {
        "event": event,
        "key": "k1",
        "series_instance_uid": "1.5",
        "study_instance_uid": "1.4",
        "revision": 1,
        "state": "ready",
        "verdict": "complete",
        "root": "/out",
        "files": FILES,
        "replaced": [],
        **payload,
    }
    return Delivery(1, "k1", 1, "1.5", "t", event, 1, whole, DeliveryState.PENDING, 0, 0.0, 0.0, "")
