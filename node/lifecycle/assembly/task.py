"""What worker processes do: one series, from its instances to staged files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.assemble.frames.headers import decode_header
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
from node.lifecycle.assembly.jobs import ArchiveChanged, Assembled, Broken, Job, Product, Refusal
from node.storage.integrity import Damage, check_published


def assemble(job: Job) -> Assembled:
    """Write every volume of a series into the job's staging folder."""
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
            _sources(job.archive, job.instances),
            job.staging,
            job.stem,
            job.options,
            proof,
            _sources(job.archive, job.references),
            job.stock,
            own_grids=False,
        )
    except AssemblyError as error:
        if error.reason not in DAMAGE:
            raise
        return _broken(job)
    fault_point("worker-done")
    if any(refusal.reason in DAMAGE for refusal in conversion.refusals):
        return _broken(job)
    return _assembled(job, conversion)


def press(
    instances: Sequence[StoredInstance], archive: Path, stock: Path, options: OutputOptions
) -> int:
    """Compress slices of a series that is still arriving, into a file for its assembly."""
    return compress_slices(stock, _sources(archive, instances), options)


def _sources(archive: Path, instances: Sequence[StoredInstance]) -> list[InstanceSource]:
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
        unsound=_is_unsound(job, products),
    )


def _product(job: Job, made: Made) -> Product:
    images = {name: made.sha256 for name in made.files if name.endswith((".nii", ".nii.gz"))}
    return Product(
        made.stem,
        made.files,
        fingerprint(job.staging, made.files),
        digests(job.staging, made.files, images),
    )


def _is_unsound(job: Job, products: Sequence[Product]) -> bool:
    """Whether what is published is the same, but not what it was when it was published."""
    before = job.before
    made = ((one.stem, one.fingerprint) for one in products)
    if before is None or fingerprint_of_all(job.folder, made) != before.fingerprint:
        return False
    try:
        for name, digest in before.digests.items():
            check_published(before.output / name, digest)
    except (Damage, OSError):
        return True
    return False


def _broken(job: Job) -> Assembled:
    """Name every instance whose file is not what was received: one is enough to make nothing.

    Raises:
        ArchiveChanged: they all are, by now; or there is no archive, so that nothing of it is lost.
    """
    if not job.archive.is_dir() or not any(job.archive.iterdir()):
        raise ArchiveChanged("the archive below storage.root is not there: is it mounted?")
    broken = []
    for instance, source in zip(job.instances, _sources(job.archive, job.instances), strict=True):
        try:
            check(source)
        except AssemblyError as error:
            broken.append(Broken(instance, error.reason, error.sentence))
    if not broken:
        raise ArchiveChanged("files of the archive were replaced while they were read")
    return Assembled(
        refusals=tuple(
            Refusal(reason, _sentence(some, len(job.instances)), _uids(some))
            for reason in sorted({one.reason for one in broken})
            if (some := [one for one in broken if one.reason == reason])
        ),
        broken=tuple(broken),
    )


def _sentence(some: Sequence[Broken], count: int) -> str:
    if len(some) == 1:
        return some[0].sentence
    return (
        f"{len(some)} of {count} instances in the archive are not what was received, or are not "
        "there. Send them again, and the series is made again by itself."
    )


def _uids(some: Sequence[Broken]) -> tuple[str, ...]:
    return tuple(one.instance.sop_instance_uid for one in some)


def _refusal(error: AssemblyError) -> Refusal:
    return Refusal(error.reason, error.sentence, error.instances)
