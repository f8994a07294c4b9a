"""Writes the files of one volume, label map or list of points, the manifest last."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from node.assemble.series import SeriesPlan, VolumePlan
from node.assemble.sidecar.diffusion import gradients
from node.assemble.sidecar.sidecar import make_sidecar
from node.assemble.sidecar.spin_labeling import volume_types
from node.assemble.volumes.manifest import make_manifest
from node.assemble.volumes.preview import PreviewRecorder, render
from node.convert.annotations import PointList, write_points
from node.convert.labels import LabelMap, write_labels
from node.convert.naming.bids import asl_context, completed
from node.convert.naming.rules import NamedVolume
from node.convert.naming.siblings import Sibling
from node.convert.quality import QUALITY, TSNR, Measured, is_measured, measured, summary
from node.convert.volume import Voxels, too_large
from node.convert.writing import OutputOptions, write_image, write_json, write_notes
from node.core.errors import AssemblyError
from node.core.version import VERSION

_UNNAMED: Final = ".image-{}"
"""Name of an image until its volume has a name; other conversions may write into the folder."""


class Proof(msgspec.Struct, frozen=True):
    """Revision, verdict and evidence of the series, for the manifest."""

    revision: int = 1
    verdict: str = "unknown"
    evidence: Mapping[str, object] | Sequence[object] = ()


@dataclass(frozen=True)
class Product:
    """The files of one volume.

    Attributes:
        stem: beginning of all its file names.
        files: names below the folder, the manifest last.
        shape: shape of the array as written, (i, j, k) or (i, j, k, t).
        affine: (4, 4) voxel -> RAS mm.
        manifest: name of the manifest; empty if none is written.
        sha256: of the image file, hexadecimal; empty if none is written.
        sibling: what other volumes of a BIDS dataset depend on; None for other names.
        fields: of the sidecar, from other volumes of the dataset.
        quality: figures of `.quality.json`; None if it was not measured.
        plan: of an image; None for labels and points.
    """

    stem: str
    files: tuple[str, ...]
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    manifest: str = ""
    sha256: str = ""
    sibling: Sibling | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    quality: Mapping[str, Any] | None = None
    plan: VolumePlan | None = field(default=None, repr=False, compare=False)


class WrittenImage(NamedTuple):
    """An image that is written under a temporary name."""

    path: Path
    digest: str
    recorder: PreviewRecorder


def write_unnamed(volume: Voxels, directory: Path, options: OutputOptions) -> WrittenImage:
    """Write the image under a temporary name, as its slices may still be refused.

    Args:
        volume: the voxels.
        directory: a folder that no other process uses.
        options: which files are written.

    Raises:
        AssemblyError: a slice cannot be read, or there is too little memory; no file is left.
    """
    recorder = PreviewRecorder(volume.shape, volume.dtype)
    blocks = recorder.record(volume.blocks())
    directory.mkdir(parents=True, exist_ok=True)
    path, digest = directory / _UNNAMED.format(uuid.uuid4().hex), ""
    try:
        if options.image:
            digest = write_image(path, volume.header(options.comment), blocks, options)
        else:
            deque(blocks, maxlen=0)  # for the preview, and to refuse slices that cannot be read
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, MemoryError):
            raise too_large(volume.plan) from error
        raise
    return WrittenImage(path, digest, recorder)


def write_volume(
    volume: Voxels,
    written: WrittenImage,
    directory: Path,
    called: NamedVolume,
    options: OutputOptions,
    proof: Proof,
    planned: SeriesPlan,
    refusals: Sequence[AssemblyError],
) -> Product:
    """Write the files of one volume beside its image, the manifest last.

    Args:
        volume: the voxels.
        written: its image, which gets its name now.
        directory: the folder that names are relative to.
        called: the name of the volume, and fields from other volumes.
        options: which files are written, and what they hold.
        proof: revision, verdict and evidence, for the manifest.
        planned: the plan of the series.
        refusals: why other frames of the series make no volume.
    """
    name = called.stem
    base = directory / name
    base.parent.mkdir(parents=True, exist_ok=True)
    files: list[str] = []

    def path(extension: str) -> Path:
        files.append(name + extension)
        return directory / files[-1]

    image = ""
    if options.image:
        image = name.rsplit("/", 1)[-1] + (".nii.gz" if options.compress else ".nii")
        written.path.replace(path(".nii.gz" if options.compress else ".nii"))
    _write_texts(volume, called, path, options)
    if options.preview:
        picture = render(written.recorder.previews(), volume.plan.affine, volume.shades)
        path(".png").write_bytes(picture)
    found: Measured | None = None
    if image and options.quality and is_measured(volume.plan):
        found = measured(base.parent / image, volume.plan)
    if found is not None:
        write_json(path(QUALITY), found.fields)
        if options.preview:
            path(TSNR).write_bytes(found.picture(volume.plan.affine))
    manifest = name + ".manifest.json" if options.manifest else ""
    if options.manifest:
        fields = make_manifest(
            volume.plan,
            proof=msgspec.to_builtins(proof),
            software=VERSION,
            image=image,
            sha256=written.digest,
            left_out=planned.left_out,
            refusals=refusals,
        )
        write_json(path(".manifest.json"), fields)
    return Product(
        stem=name,
        files=tuple(files),
        shape=volume.plan.shape,
        affine=tuple(tuple(row) for row in volume.plan.affine.tolist()),
        manifest=manifest,
        sha256=written.digest,
        sibling=called.sibling,
        fields=called.fields,
        quality=summary(found.fields) if found is not None else None,
        plan=volume.plan,
    )


def _write_texts(
    voxels: Voxels, called: NamedVolume, path: Callable[[str], Path], options: OutputOptions
) -> None:
    """Write .bval, .bvec, sidecar, context table and notes of one volume."""
    volume, times = voxels.plan, voxels.times
    weighting = gradients(volume) if options.image else None
    if weighting is not None:
        path(".bval").write_text(weighting.bval(), "ascii")
        if weighting.directions:
            path(".bvec").write_text(weighting.bvec(), "ascii")
    if options.sidecar:
        fields = make_sidecar(
            volume,
            identifiers=options.identifiers,
            software=VERSION,
            dates=options.dates,
            times=times,
        )
        write_json(path(".json"), completed(called.stem, {**fields, **called.fields}))
        if context := asl_context(called.stem, volume_types(volume)):
            path("context.tsv").write_text(context, "ascii")
    if options.notes:
        fields = make_sidecar(volume, identifiers=True, software=VERSION, times=times)
        write_notes(path(".txt"), fields)


def write_map(
    labels: LabelMap, directory: Path, name: str, options: OutputOptions, proof: Proof
) -> Product:
    """Write the files of a label map.

    Args:
        labels: the map.
        directory: the folder that names are relative to.
        name: beginning of its file names.
        options: which files are written, and what they hold.
        proof: revision, verdict and evidence, for the manifest.
    """
    files: list[str] = []

    def path(extension: str) -> Path:
        files.append(name + extension)
        return directory / files[-1]

    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    base = name.rsplit("/", 1)[-1]
    digest = write_labels(labels, base, path, options, msgspec.to_builtins(proof))
    return Product(
        stem=name,
        files=tuple(files),
        shape=labels.plan.shape,
        affine=tuple(tuple(row) for row in labels.plan.affine.tolist()),
        manifest=name + ".manifest.json" if options.manifest else "",
        sha256=digest,
    )


def write_point_list(
    points: PointList, directory: Path, name: str, options: OutputOptions, proof: Proof
) -> Product:
    """Write the files of a list of points. Arguments as of `write_map`."""
    files: list[str] = []

    def path(extension: str) -> Path:
        files.append(name + extension)
        return directory / files[-1]

    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    write_points(points, path, options, msgspec.to_builtins(proof))
    return Product(
        stem=name,
        files=tuple(files),
        shape=points.plan.shape,
        affine=tuple(tuple(row) for row in points.plan.affine.tolist()),
        manifest=name + ".manifest.json" if options.manifest else "",
    )
