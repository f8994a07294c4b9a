"""The job that an executor is given, and its result. Values that are pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.convert import OutputOptions
from node.convert.naming.rules import Naming
from node.convert.naming.siblings import Sibling
from node.core.errors import Reason, Retryable
from node.core.records import StoredInstance
from node.lifecycle.expectations import Expectation


class WorkerDied(Retryable):
    """The process that assembled the series has ended: killed, out of memory, or crashed."""


class ExecutorAway(Retryable):
    """The executor is not available any more; its capacity is 0."""


@dataclass(frozen=True, slots=True)
class PublishedRevision:
    """The visible revision of a series.

    Attributes:
        fingerprint: of all its volumes.
        output: the output folder, which the names are relative to.
        digests: SHA-256 of each file, by its name; empty if it is not known.
    """

    fingerprint: str
    output: Path
    digests: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One assembly of one series.

    Attributes:
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        instances: of the series.
        archive: the folder that the instances' paths are relative to.
        staging: a folder for the files, on the output folder's file system; no other job has it.
        stem: how the names of all files begin.
        revision: the number of the revision, if the job leads to one.
        verdict: the verdict with its reasons, for the manifest.
        options: which files are made.
        references: the instances of the series that labels among the instances refer to.
        reference_states: how those series stood, from `LabelReferences.states`.
        slice_cache: a file with slices that were compressed in advance; None if there is none.
        contradiction: why the series cannot be a volume, whatever its instances are.
        folder: where the files will be, relative to the output folder.
        published: the visible revision; None if there is none.
        naming: names the volumes by rules, instead of `stem`; None: there are no rules.
        expectations: the protocols that the volumes are compared with.
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
    reference_states: tuple[tuple[str, int], ...] = ()
    slice_cache: Path | None = None
    contradiction: Refusal | None = None
    folder: str = ""
    published: PublishedRevision | None = None
    naming: Naming | None = field(default=None, repr=False)
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Product:
    """One volume.

    Attributes:
        stem: the job's stem with a suffix that no other volume of the series has.
        files: names in the staging folder, each beginning with the stem.
        fingerprint: equal for equal volumes, see `node.lifecycle.assembly.fingerprint`.
        digests: SHA-256 of each file, by its name.
        sibling: what other volumes of a BIDS dataset depend on; None for other names.
        fields: of its sidecar, from other volumes of the dataset.
        quality: figures of motion, tSNR and spikes; None if they were not measured.
        drift: the parameters that differ from the expected protocols.
        known_as: Series Description (else Protocol Name) and kind, by which protocols name it;
            None: no protocol is expected of it.
    """

    stem: str
    files: tuple[str, ...]
    fingerprint: str
    digests: dict[str, str] = field(default_factory=dict, repr=False)
    sibling: Sibling | None = None
    fields: dict[str, Any] = field(default_factory=dict, repr=False)
    quality: dict[str, Any] | None = None
    drift: tuple[dict[str, Any], ...] = ()
    known_as: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why some or all of a series was not made into a volume.

    Attributes:
        reason: the name of the refusal.
        sentence: what is wrong, for an administrator.
        instances: the SOP Instance UIDs that it is about; empty if it is about all.
    """

    reason: Reason
    sentence: str
    instances: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As it is stored in the index."""
        return {
            "reason": str(self.reason),
            "sentence": self.sentence,
            "instances": list(self.instances),
        }


@dataclass(frozen=True, slots=True)
class DamagedInstance:
    """An instance whose archived file is not what was received.

    Attributes:
        instance: the instance.
        reason: damaged or missing.
        sentence: what is wrong, for an administrator.
    """

    instance: StoredInstance
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """The result of a job.

    Attributes:
        products: the volumes that were made.
        refusals: why some or all of the series was not made into a volume.
        damaged: instances because of which nothing was made.
        republish: the volumes are equal to those of the visible revision, but a published file is
            damaged or missing.
        siblings: of every volume that has a name in a BIDS dataset, refused later or not.
    """

    products: tuple[Product, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    damaged: tuple[DamagedInstance, ...] = ()
    republish: bool = False
    siblings: tuple[Sibling, ...] = ()


class ArchiveChanged(Retryable):
    """An archived file was replaced while it was read, or the whole archive is unavailable."""
