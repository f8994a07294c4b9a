"""A job as CSV: every row, its studies, and what is missing."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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
