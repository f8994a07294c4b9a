"""Convert one series to volumes and files: the same code for daemon, command and Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from node.assemble.frames.model import LABEL_CLASSES
from node.assemble.series import LeftOut, VolumePlan
from node.convert.annotations import POINTS_SUFFIX, Annotations, read_annotations
from node.convert.duplicates import without_copies
from node.convert.labels import read_own
from node.convert.naming.bids import with_suffix
from node.convert.naming.rules import NamedVolume, Naming
from node.convert.naming.siblings import Sibling
from node.convert.naming.unique import FileNames
from node.convert.planning import is_mixed, plan_series
from node.convert.products import (
    Product,
    Proof,
    write_map,
    write_point_list,
    write_unnamed,
    write_volume,
)
from node.convert.slice_cache import SliceCache
from node.convert.sources import InstanceSource
from node.convert.volume import Volume, prepare_volume, read_volume
from node.convert.writing import OutputOptions
from node.core.errors import AssemblyError, Reason, TooLittleMemory

Stem = str | Callable[[VolumePlan], str] | Naming


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
    planned, read = plan_series(instances, options)
    if is_mixed(planned):
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
            image = write_unnamed(voxels, directory, options)
        except AssemblyError as error:
            refusals.append(error)
            continue
        called = called or NamedVolume(with_suffix(_base(stem, volume), volume.suffix), {})
        called = replace(called, stem=names.take(called.stem))
        products.append(
            write_volume(voxels, image, directory, called, options, proof, planned, refusals)
        )
    for label in _labels(instances):
        try:
            found = _annotations(label, references, options, own_grids=own_grids)
        except AssemblyError as error:
            refusals.append(error)
            continue
        for made in _write_annotations(found, directory, stem, names, options, proof):
            if isinstance(made, AssemblyError):
                refusals.append(made)
            else:
                products.append(made)
    named = [one.sibling for one in ruled if isinstance(one, NamedVolume)]
    siblings = tuple(one for one in named if one is not None)
    return Conversion(tuple(products), tuple(refusals), planned.left_out, siblings)


def _annotations(
    label: InstanceSource,
    references: Sequence[InstanceSource],
    options: OutputOptions,
    *,
    own_grids: bool,
) -> Annotations:
    """Read the label maps and lists of points of an instance.

    Raises:
        AssemblyError: they cannot be placed.
    """
    wanted = _referred(label, references)
    if wanted:
        grids = plan_series(wanted, options)[0].volumes
        return read_annotations(label, grids, square=options.resample_tilt)
    return Annotations(read_own(label, square=options.resample_tilt, stated=not own_grids), [])


def _write_annotations(
    found: Annotations,
    directory: Path,
    stem: Stem,
    names: FileNames,
    options: OutputOptions,
    proof: Proof,
) -> Iterator[Product | AssemblyError]:
    """Write label maps and lists of points; yields why one is not written."""
    for labels in found.maps:
        name = _label_name(stem, labels.plan, labels.plan.suffix)
        if isinstance(name, AssemblyError):
            yield name
        else:
            yield write_map(labels, directory, names.take(name), options, proof)
    for points in found.points:
        name = _label_name(stem, points.plan, POINTS_SUFFIX)
        if isinstance(name, AssemblyError):
            yield name
        else:
            yield write_point_list(points, directory, names.take(name), options, proof)


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
    planned, read = plan_series(instances, OutputOptions())
    yield from planned.refusals
    if is_mixed(planned):
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
