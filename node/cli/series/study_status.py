"""What `status --level study` shows: studies with their state, verdict and series."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from node.cli.output.terminal import say, say_exactly
from node.core.settings.model import Settings
from node.storage.index.engine import Index
from node.storage.index.studies.studies import Studies, StudyRecord

MOST: Final = 50  # studies, if no option chooses


def show_studies(
    index: Index, settings: Settings, study: str | None, limit: int | None, *, as_json: bool
) -> None:
    """Print studies, the newest first.

    Args:
        index: the index.
        settings: of the node.
        study: a Study Instance UID; None: the newest studies.
        limit: of their number; None: 50.
        as_json: as a list of JSON objects.
    """
    studies = Studies(index)
    found = studies.with_uid(study) if study else studies.newest(limit or MOST)
    described = [_described(one, settings) for one in found]
    if as_json:
        say_exactly(json.dumps(described, indent=1))
        return
    if not described:
        say("there is no such study" if study else "there are no studies")
    for one in described:
        say_exactly(one["study_instance_uid"])
        verdict = f", {one['verdict']}" if one["verdict"] else ""
        series = ", ".join(f"{count} {state}" for state, count in one["states"].items())
        say_exactly(f"  {one['state']}{verdict}, revision {one['revision']}; series: {series}")
        if one["why"]:
            say_exactly(f"  {one['why']}")
        for each in one["drift"]:
            say_exactly(f"  {each['sentence']}")


def _described(study: StudyRecord, settings: Settings) -> dict[str, Any]:
    verdict = study.verdict or {}
    outputs = (settings.storage.root / "nifti").absolute()
    states = [str(one.state) for one in study.situation.series]
    return {
        "study_instance_uid": study.uid,
        "state": str(study.state),
        "since": datetime.fromtimestamp(study.state_since, UTC).isoformat(),
        "verdict": verdict.get("verdict"),
        "why": verdict.get("why", ""),
        "evidence": verdict.get("reasons", []),
        "drift": verdict.get("drift", []),
        "revision": study.revision,
        "states": {state: states.count(state) for state in sorted(set(states))},
        "series": [
            {
                "series_instance_uid": one.uid,
                "address": one.address,
                "state": str(one.state),
                "verdict": str(one.verdict),
                "revision": one.revision,
                "instances": one.instances,
                "outputs": [str(outputs / name) for name in one.outputs],
            }
            for one in study.situation.series
        ],
    }
