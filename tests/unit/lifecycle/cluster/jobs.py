"""What the workers of these tests do, and jobs for them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from distributed import get_worker

from node.convert import OutputOptions
from node.core.errors import Reason
from node.core.records import StoredInstance
from node.lifecycle.assembly.jobs import Assembled, Job, Refusal


def report(job: Job) -> Assembled:
    """Tells the worker by a refusal; dies, fails or dawdles if the job is named so."""
    if job.stem == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.stem == "fail":
        raise ValueError(job.stem)
    if job.stem == "dawdle":
        time.sleep(60)
    return Assembled((), (Refusal(Reason.NOT_AN_IMAGE, str(get_worker().address)),))


def job(root: Path, stem: str = "work", *paths: str) -> Job:
    """A job on files below `root`/archive, which are made unless their name is `gone`."""
    archive, staging = root / "archive", root / "staging"
    staging.mkdir(exist_ok=True)
    archive.mkdir(exist_ok=True)
    for path in paths or ("there",):
        if path != "gone":
            (archive / path).touch()
    return Job(
        series_uid="1.5",
        study_uid="1.4",
        instances=tuple(_instance(path) for path in paths or ("there",)),
        archive=archive,
        staging=staging,
        stem=stem,
        revision=1,
        verdict={},
        options=OutputOptions(),
    )


def _instance(path: str) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid="1.6",
        sop_class_uid="1.7",
        transfer_syntax_uid="1.2.840.10008.1.2",
        header=b"",
        path=path,
        size=0,
        sha256="",
        data_set_offset=0,
        pixel_offset=None,
        pixel_length=None,
        received_at=0.0,
    )
