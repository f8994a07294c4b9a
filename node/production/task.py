"""What worker processes do: one series, from its instances to staged files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.assemble.headers import decode_header
from node.convert import (
    Conversion,
    InstanceSource,
    OutputOptions,
    Proof,
    convert_series,
    lay_in,
)
from node.errors import AssemblyError
from node.faults import fault_point
from node.production.fingerprint import fingerprint
from node.production.jobs import Assembled, Job, Product, Refusal
from node.records import StoredInstance


def assemble(job: Job) -> Assembled:
    """Write every volume of a series into the job's staging folder."""
    fault_point("worker-started")
    proof = Proof(
        revision=job.revision,
        verdict=str(job.verdict["verdict"]),
        evidence={"why": job.verdict.get("why", ""), "reasons": job.verdict["reasons"]},
    )
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
    fault_point("worker-done")
    return _assembled(job, conversion)


def press(
    instances: Sequence[StoredInstance], archive: Path, stock: Path, options: OutputOptions
) -> int:
    """Compress slices of a series that is still arriving, into a file for its assembly."""
    return lay_in(stock, _sources(archive, instances), options)


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
    return Assembled(
        products=tuple(
            Product(made.stem, made.files, fingerprint(job.staging, made.files))
            for made in conversion.products
        ),
        refusals=tuple(_refusal(error) for error in conversion.refusals),
    )


def _refusal(error: AssemblyError) -> Refusal:
    return Refusal(error.reason, error.sentence, error.instances)
