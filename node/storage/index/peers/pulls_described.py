"""A job that fetches studies, with all its rows, for programs."""

from __future__ import annotations

from typing import Any

from node.core.pulls import PullJob, PullStudy
from node.storage.index.peers.pulls import Pulls


def described(pulls: Pulls, job: PullJob) -> dict[str, Any]:
    """A job with all its rows, for a program."""
    studies = pulls.studies(job)
    uids = {
        one["series_instance_uid"]
        for found in studies.values()
        for study in found
        for one in study.series
    }
    states = pulls.series_states(uids)
    return {
        "name": job.name,
        "peer": job.peer,
        "state": job.state,
        "reason": job.reason or None,
        "by": job.by,
        "series": dict(job.series),
        "window": job.window or None,
        "rate": job.rate or None,
        "parallel": job.parallel,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
        "items": [
            {
                "row": item.row,
                "query": dict(item.query),
                "state": item.state,
                "reason": item.reason or None,
                "tries": item.tries,
                "studies": [_study(study, states) for study in studies.get(item.pk, [])],
            }
            for item in pulls.items(job)
        ],
    }


def _study(study: PullStudy, states: dict[str, tuple[str, str | None]]) -> dict[str, Any]:
    missing = study.missing
    return {
        "study_instance_uid": study.uid,
        "state": study.state,
        "expected": study.expected,
        "received": study.received,
        "missing": list(missing) if isinstance(missing, tuple) else dict(missing),
        "missing_count": study.missing_count,
        "series": [_series(dict(one), states) for one in study.series],
        "reason": study.reason or None,
    }


def _series(series: dict[str, Any], states: dict[str, tuple[str, str | None]]) -> dict[str, Any]:
    state, verdict = states.get(series["series_instance_uid"], (None, None))
    return {**series, "state": state, "verdict": verdict}
