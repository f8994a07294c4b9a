"""One series to its volumes, and those to files. The same path for daemon, command and Python."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from node.assemble.frames.model import LABEL_CLASSES, InstanceHeader
from node.assemble.pixels.values import as_displayed
from node.assemble.series import LeftOut, SeriesPlan, VolumePlan, plan
from node.assemble.sidecar.diffusion import gradients
from node.assemble.sidecar.labeling import volume_types
from node.assemble.sidecar.sidecar import make_sidecar
from node.assemble.subjects import contradiction
from node.assemble.volumes.manifest import make_manifest
from node.assemble.volumes.preview import Glimpses, render
from node.convert.annotations import (
    POINTS_SUFFIX,
    Annotations,
    PointList,
    read_annotations,
    write_points,
)
from node.convert.copies import without_copies
from node.convert.decoding import prepare
from node.convert.labels import LabelMap, read_own, write_labels
from node.convert.naming.bids import asl_context, completed, with_suffix
from node.convert.naming.unique import FileNames
from node.convert.slice_cache import Stock
from node.convert.sources import InstanceSource, PixelReader, is_encapsulated
from node.convert.volume import Volume, Voxels, filled, opened, too_large
from node.convert.writing import OutputOptions, write_image, write_json, write_notes
from node.core.errors import AssemblyError, Reason, TooLittleMemory
from node.core.version import VERSION

_UNNAMED: Final = ".image-{}"
"""Until an image has its name; others may be writing into the folder, too."""
Stem = str | Callable[[VolumePlan], str]


class Proof(msgspec.Struct, frozen=True):
    """What the caller knows of the series' completeness, for the manifest."""

    revision: int = 1
    verdict: str = "unknown"
    evidence: Mapping[str, object] | Sequence[object] = ()


@dataclass(frozen=True)
class Product:
    """The files of one volume.

    Attributes:
        stem: what all its file names begin with.
        files: names below the folder, the manifest last.
        shape: of the array as written.
        affine: (4, 4) voxel -> RAS mm.
        manifest: name of the manifest, empty if none was asked for.
        sha256: of the image file, empty if none was asked for.
    """

    stem: str
    files: tuple[str, ...]
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    manifest: str = ""
    sha256: str = ""


class _Image(NamedTuple):
    """An image that is written and has no name yet."""

    path: Path
    digest: str
    glimpses: Glimpses


@dataclass(frozen=True)
class Conversion:
    """What became of a series."""

    products: tuple[Product, ...] = ()
    refusals: tuple[AssemblyError, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def convert_series(
    instances: Sequence[InstanceSource],
    directory: Path,
    stem: Stem,
    options: OutputOptions | None = None,
    proof: Proof | None = None,
    references: Sequence[InstanceSource] = (),
    stock: Path | None = None,
    names: FileNames | None = None,
    *,
    own_grids: bool = True,
) -> Conversion:
    """Write every volume of a series that can be trusted, and name what cannot.

    The same instances in any order give the same volumes.

    Args:
        instances: of one series.
        directory: a folder of the caller's own.
        stem: what file names begin with, or a function that makes it for a volume.
        options: which files, and what is in them.
        proof: what is known of the series' completeness.
        references: instances of the series that labels among the instances refer to.
        stock: a file with slices that `lay_in` has compressed already.
        names: that are given already, where other series go into the same folder.
        own_grids: segmentations of a series that is not among the references make label maps on
            their own grid, even if it has to be measured; otherwise only on one that they state,
            and others are refused until that series comes.
    """
    options, proof = options or OutputOptions(), proof or Proof()
    planned, read = _planned(instances, options)
    if _is_mixed(planned):
        return Conversion(refusals=planned.refusals)
    refusals = list(planned.refusals)
    products: list[Product] = []
    names = names or FileNames()
    ready = Stock(stock, instances, options.level) if stock and options.compress else None
    for volume in planned.volumes:
        try:
            voxels = opened(volume, read, ready, square=options.resample_tilt)
            image = _write_image(voxels, directory, options)
        except AssemblyError as error:
            refusals.append(error)
            continue
        base = stem if isinstance(stem, str) else stem(volume)
        name = names.take(with_suffix(base, volume.suffix))
        products.append(_write(voxels, image, directory, name, options, proof, planned, refusals))
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
            base = stem if isinstance(stem, str) else stem(each.plan)
            name = names.take(with_suffix(base, each.plan.suffix))
            products.append(_write_map(each, directory, name, options, proof))
        for points in found.points:
            base = stem if isinstance(stem, str) else stem(points.plan)
            name = names.take(with_suffix(base, POINTS_SUFFIX))
            products.append(_write_points(points, directory, name, options, proof))
    return Conversion(tuple(products), tuple(refusals), planned.left_out)


def _labels(instances: Sequence[InstanceSource]) -> list[InstanceSource]:
    """Return the instances that label voxels, but for those whose UID has several contents."""
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
        instances: of one series.
        present: Series Instance UIDs of all series that are there. Segmentations of others make
            label maps on their own grid.
    """
    planned, read = _planned(instances, OutputOptions())
    yield from planned.refusals
    if _is_mixed(planned):
        return
    for volume in planned.volumes:
        try:
            yield filled(volume, read)
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
    """Whether it was refused because its images are of several studies or patients."""
    return any(one.reason is Reason.CONTRADICTORY_IDENTITY for one in planned.refusals)


def _untriggered(header: InstanceHeader) -> InstanceHeader:
    frames = tuple(msgspec.structs.replace(one, trigger_time=None) for one in header.frames)
    return msgspec.structs.replace(header, frames=frames)


def _write_image(volume: Voxels, directory: Path, options: OutputOptions) -> _Image:
    """Write the image under a name of its own: whether it can be written is only known then.

    Raises:
        AssemblyError: a slice cannot be read, or there is too little memory; nothing is left.
    """
    glimpses = Glimpses(volume.shape, volume.dtype)
    blocks = glimpses.pass_on(volume.blocks())
    directory.mkdir(parents=True, exist_ok=True)
    path, digest = directory / _UNNAMED.format(uuid.uuid4().hex), ""
    try:
        if options.image:
            digest = write_image(path, volume.header(options.comment), blocks, options)
        else:
            deque(blocks, maxlen=0)  # for the picture, and because what cannot be read is refused
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, MemoryError):
            raise too_large(volume.plan) from error
        raise
    return _Image(path, digest, glimpses)


def _write(
    volume: Voxels,
    written: _Image,
    directory: Path,
    name: str,
    options: OutputOptions,
    proof: Proof,
    planned: SeriesPlan,
    refusals: Sequence[AssemblyError],
) -> Product:
    """Write the files of one volume beside its image, the manifest last."""
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
    weighting = gradients(volume.plan) if options.image else None
    if weighting is not None:
        path(".bval").write_text(weighting.bval(), "ascii")
        if weighting.directions:
            path(".bvec").write_text(weighting.bvec(), "ascii")
    if options.sidecar:
        fields = make_sidecar(
            volume.plan,
            identifiers=options.identifiers,
            software=VERSION,
            dates=options.dates,
        )
        write_json(path(".json"), completed(name, fields))
        if context := asl_context(name, volume_types(volume.plan)):
            path("context.tsv").write_text(context, "ascii")
    if options.notes:
        fields = make_sidecar(volume.plan, identifiers=True, software=VERSION)
        write_notes(path(".txt"), fields)
    if options.preview:
        picture = render(written.glimpses.found(), volume.plan.affine, volume.shades)
        path(".png").write_bytes(picture)
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
    )


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
