"""What an executor is handed, and what comes back. Values that go through pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.convert import OutputOptions
from node.core.errors import Reason, Retryable
from node.core.records import StoredInstance


class WorkerDied(Retryable):
    """The process that assembled the series is gone: killed, out of memory, or crashed."""


class ExecutorAway(Retryable):
    """What was to assemble the series is not there any more; it says so by a capacity of 0."""


@dataclass(frozen=True, slots=True)
class Before:
    """What is published of a series already.

    Attributes:
        fingerprint: of all of it.
        output: the folder that the names are relative to.
        digests: SHA-256 of each file, by its name; empty: only known to have been there.
    """

    fingerprint: str
    output: Path
    digests: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One assembly of one series.

    Attributes:
        archive: the folder that the instances' paths are relative to.
        staging: a folder of its own, on the output folder's file system, for the files.
        stem: the files' common beginning.
        revision: which revision of the series this becomes, if it becomes one.
        verdict: the verdict with its reasons, for the manifest.
        options: which files are made.
        references: instances of the series that labels among the instances are drawn on.
        grounds: how those series stood, for `node.lifecycle.assembly.label_references`.
        stock: a file with slices that were compressed already.
        contradiction: why the series cannot be a volume, whatever its instances are.
        folder: where the files will be, relative to the output folder.
        before: what is published already; None: nothing.
    """

    series_uid: str
    study_uid: str
    instances: tuple[StoredInstance, ...] = field(repr=False)
    archive: Path
    staging: Path
    stem: str
    revision: int
    verdict: dict[str, Any]
    options: OutputOptions
    references: tuple[StoredInstance, ...] = field(default=(), repr=False)
    grounds: tuple[tuple[str, int], ...] = ()
    stock: Path | None = None
    contradiction: Refusal | None = None
    folder: str = ""
    before: Before | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One volume.

    Attributes:
        stem: the job's stem with what tells the volume from the series' others.
        files: names in the staging folder, each beginning with the stem.
        fingerprint: equal for volumes between which nothing differs.
        digests: SHA-256 of each file, by its name.
    """

    stem: str
    files: tuple[str, ...]
    fingerprint: str
    digests: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why some or all of the series was not made into a volume."""

    reason: Reason
    sentence: str
    instances: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As it is kept in the index."""
        return {
            "reason": str(self.reason),
            "sentence": self.sentence,
            "instances": list(self.instances),
        }


@dataclass(frozen=True, slots=True)
class Broken:
    """An instance whose file is not what was received."""

    instance: StoredInstance
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """What became of a job.

    Attributes:
        broken: instances because of which nothing was made.
        unsound: whether nothing differs from what is published but that a file of that is damaged
            or lost.
    """

    products: tuple[Product, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    broken: tuple[Broken, ...] = ()
    unsound: bool = False


class ArchiveChanged(Retryable):
    """A file of the archive was replaced while a series was made of it, or all of it is away."""
