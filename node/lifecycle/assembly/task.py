"""The work of a worker process: one series, from its instances to files in its staging folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.assemble.frames.headers import decode_header
from node.assemble.protocol import described
from node.convert import (
    Conversion,
    InstanceSource,
    OutputOptions,
    Proof,
    check,
    compress_slices,
    convert_series,
)
from node.convert import Product as Made
from node.core.errors import DAMAGE, AssemblyError
from node.core.fault_points import fault_point
from node.core.records import StoredInstance
from node.lifecycle.assembly.fingerprint import digests, fingerprint, fingerprint_of_all
from node.lifecycle.assembly.jobs import (
    ArchiveChanged,
    Assembled,
    DamagedInstance,
    Job,
    Product,
    Refusal,
)
from node.storage.integrity import Damage, check_published


def assemble(job: Job) -> Assembled:
    """Write every volume of a series into the job's staging folder.

    Args:
        job: the series and where its files go.

    Returns:
        the volumes, or why there are none.

    Raises:
        ArchiveChanged: archived files were replaced meanwhile, or the archive is unavailable.
        AssemblyError: the series cannot be read.
    """
    fault_point("worker-started")
    if job.contradiction is not None:
        return Assembled(refusals=(job.contradiction,))
    proof = Proof(
        revision=job.revision,
        verdict=str(job.verdict["verdict"]),
        evidence={"why": job.verdict.get("why", ""), "reasons": job.verdict["reasons"]},
    )
    try:
        conversion = convert_series(
            sources_of(job.archive, job.instances),
            job.staging,
            job.naming or job.stem,
            job.options,
            proof,
            sources_of(job.archive, job.references),
            job.slice_cache,
            own_grids=False,
        )
    except AssemblyError as error:
        if error.reason not in DAMAGE:
            raise
        return _damaged(job)
    fault_point("worker-done")
    if any(refusal.reason in DAMAGE for refusal in conversion.refusals):
        return _damaged(job)
    return _assembled(job, conversion)


def precompress(
    instances: Sequence[StoredInstance], archive: Path, slice_cache: Path, options: OutputOptions
) -> int:
    """Compress slices of a series that is still being received.

    Args:
        instances: whose slices are compressed.
        archive: the folder that their paths are relative to.
        slice_cache: the file that the slices are appended to, for the series' assembly.
        options: which files are made of a volume.

    Returns:
        the number of slices.

    Raises:
        OSError: the file cannot be written to.
    """
    return compress_slices(slice_cache, sources_of(archive, instances), options)


def sources_of(archive: Path, instances: Sequence[StoredInstance]) -> list[InstanceSource]:
    """Return archived instances as assembly reads them.

    Args:
        archive: the folder that their paths are relative to.
        instances: the instances.
    """
    return [
        InstanceSource(
            header=decode_header(instance.header),
            file=f"{archive}/{instance.path}",
            offset=instance.data_set_offset,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            pixel_offset=instance.pixel_offset,
            pixel_length=instance.pixel_length,
            digest=instance.sha256,
            crc32=instance.crc32,
        )
        for instance in instances
    ]


def _assembled(job: Job, conversion: Conversion) -> Assembled:
    products = tuple(_product(job, made) for made in conversion.products)
    return Assembled(
        products=products,
        refusals=tuple(_refusal(error) for error in conversion.refusals),
        republish=_must_republish(job, products),
        siblings=conversion.siblings,
    )


def _product(job: Job, made: Made) -> Product:
    images = {name: made.sha256 for name in made.files if name.endswith((".nii", ".nii.gz"))}
    drift, known_as = _compared(job, made)
    return Product(
        made.stem,
        made.files,
        fingerprint(job.staging, made.files),
        digests(job.staging, made.files, images),
        made.sibling,
        dict(made.fields),
        None if made.quality is None else dict(made.quality),
        drift,
        known_as,
    )


def _compared(job: Job, made: Made) -> tuple[tuple[dict[str, Any], ...], tuple[str, str] | None]:
    """The parameters of a volume that differ from the expected protocols, and its name there."""
    if made.plan is None or not job.expectations:
        return (), None
    found = described(made.plan)
    drift = tuple(each for one in job.expectations for each in one.drift(found))
    return drift, (found["series"], found["kind"])


def _must_republish(job: Job, products: Sequence[Product]) -> bool:
    """Whether the visible revision has the same volumes, but a damaged or missing file."""
    published = job.published
    made = ((one.stem, one.fingerprint) for one in products)
    if published is None or fingerprint_of_all(job.folder, made) != published.fingerprint:
        return False
    try:
        for name, digest in published.digests.items():
            check_published(published.output / name, digest)
    except (Damage, OSError):
        return True
    return False


def _damaged(job: Job) -> Assembled:
    """Name every instance whose file is damaged or missing; because of one, nothing is made.

    Raises:
        ArchiveChanged: no file is damaged any more, or the whole archive is unavailable.
    """
    if not job.archive.is_dir() or not any(job.archive.iterdir()):
        raise ArchiveChanged("the archive below storage.root is missing: is it mounted?")
    damaged = []
    for instance, source in zip(job.instances, sources_of(job.archive, job.instances), strict=True):
        try:
            check(source)
        except AssemblyError as error:
            damaged.append(DamagedInstance(instance, error.reason, error.sentence))
    if not damaged:
        raise ArchiveChanged("archived files were replaced while they were read")
    return Assembled(
        refusals=tuple(
            Refusal(reason, _sentence(some, len(job.instances)), _uids(some))
            for reason in sorted({one.reason for one in damaged})
            if (some := [one for one in damaged if one.reason == reason])
        ),
        damaged=tuple(damaged),
    )


def _sentence(some: Sequence[DamagedInstance], count: int) -> str:
    if len(some) == 1:
        return some[0].sentence
    return (
        f"The archived files of {len(some)} of {count} instances are damaged or missing. Send "
        "these instances again, and the node assembles the series again."
    )


def _uids(some: Sequence[DamagedInstance]) -> tuple[str, ...]:
    return tuple(one.instance.sop_instance_uid for one in some)


def _refusal(error: AssemblyError) -> Refusal:
    return Refusal(error.reason, error.sentence, error.instances)
