"""Convert one series to volumes and files: the same code for daemon, command and Python."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from node.assemble.frames.model import LABEL_CLASSES, InstanceHeader
from node.assemble.pixels.voxel_values import as_displayed
from node.assemble.series import LeftOut, SeriesPlan, VolumePlan, plan
from node.assemble.sidecar.diffusion import gradients
from node.assemble.sidecar.sidecar import make_sidecar
from node.assemble.sidecar.spin_labeling import volume_types
from node.assemble.study_and_patient import contradiction
from node.assemble.volumes.manifest import make_manifest
from node.assemble.volumes.preview import PreviewRecorder, render
from node.convert.annotations import (
    POINTS_SUFFIX,
    Annotations,
    PointList,
    read_annotations,
    write_points,
)
from node.convert.decoding import prepare
from node.convert.duplicates import without_copies
from node.convert.labels import LabelMap, read_own, write_labels
from node.convert.naming.bids import asl_context, completed, with_suffix
from node.convert.naming.rules import NamedVolume, Naming
from node.convert.naming.siblings import Sibling
from node.convert.naming.unique import FileNames
from node.convert.quality import QUALITY, TSNR, Measured, is_measured, measured, summary
from node.convert.slice_cache import SliceCache
from node.convert.sources import InstanceSource, PixelReader, is_encapsulated
from node.convert.volume import Volume, Voxels, prepare_volume, read_volume, too_large
from node.convert.writing import OutputOptions, write_image, write_json, write_notes
from node.core.errors import AssemblyError, Reason, TooLittleMemory
from node.core.version import VERSION

_UNNAMED: Final = ".image-{}"
"""Name of an image until its volume has a name; other conversions may write into the folder."""
Stem = str | Callable[[VolumePlan], str] | Naming


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


class _Image(NamedTuple):
    """An image that is written under a temporary name."""

    path: Path
    digest: str
    recorder: PreviewRecorder


@dataclass(frozen=True)
class Conversion:
    """The result of converting a series: volumes, refusals, and instances that were left out.

    Attributes:
        siblings: of every volume that has a name in a BIDS dataset, refused later or not.
    """

    products: tuple[Product, ...] = ()
    refusals: tuple[AssemblyError, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    siblings: tuple[Sibling, ...] = ()


def convert_series(
    instances: Sequence[InstanceSource],
    directory: Path,
    stem: Stem,
    options: OutputOptions | None = None,
    proof: Proof | None = None,
    references: Sequence[InstanceSource] = (),
    slice_cache: Path | None = None,
    names: FileNames | None = None,
    *,
    own_grids: bool = True,
) -> Conversion:
    """Write every volume of a series that can be trusted, and refuse the rest by name.

    The order of the instances does not change the volumes.

    Args:
        instances: the instances of one series.
        directory: a folder that no other process uses.
        stem: beginning of the file names, a function that returns it for a volume, or rules that
            name each volume.
        options: which files are written, and what they hold.
        proof: revision, verdict and evidence, for the manifest.
        references: instances of the series that labels among the instances refer to.
        slice_cache: a file with slices that `compress_slices` has compressed.
        names: names that are taken already, if other series are written into the same folder.
        own_grids: segmentations of a series that is not among the references make label maps on
            their own grid, even if it has to be measured; otherwise only on one that they state,
            and others are refused until that series is received.
    """
    options, proof = options or OutputOptions(), proof or Proof()
    planned, read = _planned(instances, options)
    if _is_mixed(planned):
        return Conversion(refusals=planned.refusals)
    refusals = list(planned.refusals)
    products: list[Product] = []
    names = names or FileNames()
    ready = (
        SliceCache(slice_cache, instances, options.level)
        if slice_cache and options.compress
        else None
    )
    ruled = stem.volumes(planned.volumes) if isinstance(stem, Naming) else ()
    for number, volume in enumerate(planned.volumes):
        called = ruled[number] if ruled else None
        if isinstance(called, AssemblyError):
            refusals.append(called)
            continue
        try:
            voxels = prepare_volume(volume, read, ready, square=options.resample_tilt)
            image = _write_image(voxels, directory, options)
        except AssemblyError as error:
            refusals.append(error)
            continue
        called = called or NamedVolume(with_suffix(_base(stem, volume), volume.suffix), {})
        called = replace(called, stem=names.take(called.stem))
        products.append(_write(voxels, image, directory, called, options, proof, planned, refusals))
    for label in _labels(instances):
        try:
            wanted = _referred(label, references)
            if wanted:
                grids = _planned(wanted, options)[0].volumes
                found = read_annotations(label, grids, square=options.resample_tilt)
            else:
                own = read_own(label, square=options.resample_tilt, stated=not own_grids)
                found = Annotations(own, [])
        except AssemblyError as error:
            refusals.append(error)
            continue
        for each in found.maps:
            label_name = _label_name(stem, each.plan, each.plan.suffix)
            if isinstance(label_name, AssemblyError):
                refusals.append(label_name)
                continue
            products.append(_write_map(each, directory, names.take(label_name), options, proof))
        for points in found.points:
            label_name = _label_name(stem, points.plan, POINTS_SUFFIX)
            if isinstance(label_name, AssemblyError):
                refusals.append(label_name)
                continue
            name = names.take(label_name)
            products.append(_write_points(points, directory, name, options, proof))
    named = [one.sibling for one in ruled if isinstance(one, NamedVolume)]
    siblings = tuple(one for one in named if one is not None)
    return Conversion(tuple(products), tuple(refusals), planned.left_out, siblings)


def _base(stem: Stem, volume: VolumePlan) -> str:
    """Return the beginning of a volume's name without rules."""
    if isinstance(stem, Naming):
        raise TypeError("rules name whole volumes")
    return stem if isinstance(stem, str) else stem(volume)


def _label_name(stem: Stem, plan: VolumePlan, suffix: str) -> str | AssemblyError:
    """Return the name of a label map or list of points, or why none is made."""
    if not isinstance(stem, Naming):
        return with_suffix(_base(stem, plan), suffix)
    called = stem.labels(plan, suffix)
    return called if isinstance(called, AssemblyError) else called.stem


def _labels(instances: Sequence[InstanceSource]) -> list[InstanceSource]:
    """Return the instances that label voxels, except those whose UID has several contents."""
    found = [
        one
        for one in instances
        if one.header.sop_class_uid in LABEL_CLASSES and one.header.problem is None
    ]
    unique = without_copies(found)[0]
    counts = Counter(one.header.identity for one in unique)
    return [one for one in unique if counts[one.header.identity] == 1]


def _referred(label: InstanceSource, references: Sequence[InstanceSource]) -> list[InstanceSource]:
    """Return the instances of the series that labels refer to."""
    return [one for one in references if one.header.series_instance_uid in label.header.references]


def volumes_of(
    instances: Sequence[InstanceSource], present: Container[str] = ()
) -> Iterator[Volume | AssemblyError]:
    """Yield every volume of a series in memory, and every refusal.

    Args:
        instances: the instances of one series.
        present: Series Instance UIDs of all series at hand. Segmentations of other series make
            label maps on their own grid.
    """
    planned, read = _planned(instances, OutputOptions())
    yield from planned.refusals
    if _is_mixed(planned):
        return
    for volume in planned.volumes:
        try:
            yield read_volume(volume, read)
        except AssemblyError as error:
            yield error
        except TooLittleMemory as error:
            yield AssemblyError(Reason.UNSUPPORTED_PIXELS, f"{error}.")
    for label in _labels(instances):
        if any(uid in present for uid in label.header.references):
            continue
        try:
            maps = read_own(label)
        except AssemblyError as error:
            yield error
        else:
            for one in maps:
                array = one.array[..., np.newaxis]
                yield Volume(one.plan, array.dtype, 1.0, 0.0, array)


def planned_volumes(
    instances: Sequence[InstanceSource], options: OutputOptions
) -> tuple[VolumePlan, ...]:
    """Return the volumes that a series makes, without reading pixels; empty if it is refused.

    Args:
        instances: the instances of one series.
        options: how volumes are made.
    """
    planned, _ = _planned(instances, options)
    return () if _is_mixed(planned) else planned.volumes


def _planned(
    instances: Sequence[InstanceSource], options: OutputOptions
) -> tuple[SeriesPlan, PixelReader]:
    mixed = contradiction([source.header for source in instances])
    if mixed is not None:
        return SeriesPlan((), (mixed,)), PixelReader(())
    unique, copies = without_copies(instances)
    if any(map(is_encapsulated, unique)):
        prepare()
    headers = [source.header for source in unique]
    if not options.precise:
        headers = [as_displayed(header) for header in headers]
    if not options.trigger_times:
        headers = [_untriggered(header) for header in headers]
    planned = plan(headers, even_out=options.resample_unequal, merge=options.merge)
    read = PixelReader(unique)
    volumes = tuple(one for one in planned.volumes if options.flat or len(one.grid[0]) > 1)
    planned = replace(planned, volumes=volumes, left_out=(*planned.left_out, *copies))
    return planned, read


def _is_mixed(planned: SeriesPlan) -> bool:
    """Tell whether the series was refused as its images are of several studies or patients."""
    return any(one.reason is Reason.CONTRADICTORY_IDENTITY for one in planned.refusals)


def _untriggered(header: InstanceHeader) -> InstanceHeader:
    frames = tuple(msgspec.structs.replace(one, trigger_time=None) for one in header.frames)
    return msgspec.structs.replace(header, frames=frames)


def _write_image(volume: Voxels, directory: Path, options: OutputOptions) -> _Image:
    """Write the image under a temporary name, as its slices may still be refused.

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
    return _Image(path, digest, recorder)


def _write(
    volume: Voxels,
    written: _Image,
    directory: Path,
    called: NamedVolume,
    options: OutputOptions,
    proof: Proof,
    planned: SeriesPlan,
    refusals: Sequence[AssemblyError],
) -> Product:
    """Write the files of one volume beside its image, the manifest last."""
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
    _write_texts(volume.plan, called, path, options)
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
    volume: VolumePlan, called: NamedVolume, path: Callable[[str], Path], options: OutputOptions
) -> None:
    """Write .bval, .bvec, sidecar, context table and notes of one volume."""
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
        )
        write_json(path(".json"), completed(called.stem, {**fields, **called.fields}))
        if context := asl_context(called.stem, volume_types(volume)):
            path("context.tsv").write_text(context, "ascii")
    if options.notes:
        fields = make_sidecar(volume, identifiers=True, software=VERSION)
        write_notes(path(".txt"), fields)


def _write_map(
    labels: LabelMap, directory: Path, name: str, options: OutputOptions, proof: Proof
) -> Product:
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


def _write_points(
    points: PointList, directory: Path, name: str, options: OutputOptions, proof: Proof
) -> Product:
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
