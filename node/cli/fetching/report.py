"""A job as JSON and as CSV: every row, its studies, and what is missing."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from node.cli.fetching.asking import cells
from node.core.errors import NodeError
from node.core.pulls import PullJob, PullStudy
from node.dimse.pull.question import COLUMNS
from node.storage.index.peers.pulls import Pulls

_REPORT: Final = (
    "row",
    *COLUMNS,
    "state",
    "study_instance_uid",
    "study_state",
    "expected",
    "received",
    "missing_count",
    "missing",
    "reason",
)


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


def write_report(path: Path, pulls: Pulls, job: PullJob) -> None:
    """Write a job as CSV, a line for each study of each row.

    Args:
        path: of the file; an old one is replaced.
        pulls: the jobs.
        job: the one to write.

    Raises:
        NodeError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _REPORT, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(cells(line) for line in _lines(pulls, job))
    except OSError as error:
        raise NodeError(f"the report {path} cannot be written: {error.strerror}") from error


def _lines(pulls: Pulls, job: PullJob) -> Iterator[dict[str, object]]:
    studies = pulls.studies(job)
    for item in pulls.items(job):
        begin: dict[str, object] = {
            "row": item.row,
            **{column: item.query.get(column, "") for column in COLUMNS},
            "state": str(item.state),
            "reason": item.reason,
        }
        found = studies.get(item.pk, [])
        if not found:
            yield begin
        for study in found:
            yield {
                **begin,
                "study_instance_uid": study.uid,
                "study_state": str(study.state),
                "expected": study.expected,
                "received": study.received,
                "missing_count": study.missing_count,
                "missing": _listed(study),
                "reason": study.reason or item.reason,
            }


def _listed(study: PullStudy) -> str:
    if isinstance(study.missing, tuple):
        return " ".join(study.missing)
    said = []
    for series, missing in study.missing.items():
        said.append(" ".join(missing) if isinstance(missing, list) else f"{missing} of {series}")
    return "; ".join(said)
