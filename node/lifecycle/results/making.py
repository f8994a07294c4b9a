"""One image to the objects of one result: found on its volume, read, checked, made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset

from node.assemble.pixels.stored_values import RGB
from node.assemble.space import Array
from node.convert import results
from node.convert.memory import check_room
from node.convert.results import (
    Form,
    Label,
    Refusal,
    ResultError,
    ResultOptions,
    read_codes,
    read_labels,
)
from node.convert.results.codes import Coded
from node.convert.results.grid import Voxels
from node.convert.results.image import ResultImage, open_result, read_json
from node.convert.results.masks import Numbered, gathered, numbered, renumbered
from node.convert.results.options import NO_UNIT
from node.convert.results.revisions import Fit, find_volume
from node.core.system.disk import file_sha256
from node.lifecycle.results.series import ResultSeries

_BYTES_A_VOXEL: Final = 6
"""Of a result, while it is made: the image, its numbers in the source's order, what is written."""


class Kind(StrEnum):
    """What an image becomes."""

    SEG = "seg"
    RTSTRUCT = "rtstruct"
    MAP = "map"
    IMAGE = "image"
    CAPTURE = "capture"


NEAREST: Final = "nearest neighbour"
LINEAR: Final = "linear interpolation"
_OF_LABELS: Final = (Kind.SEG, Kind.RTSTRUCT, Kind.CAPTURE)


@dataclass(frozen=True)
class Request:
    """What is wanted of an image.

    Attributes:
        labels: a file of labels; None: those of the JSON beside the image, if it has some.
        units: UCUM; empty: `Units` of the JSON beside the image.
        codes: a file of further codes by name.
        resample: bring an image on another grid to the source slices.
        revision: of the series that the image was made on.
    """

    kind: Kind = Kind.SEG
    form: Form = Form.BINARY
    labels: Path | None = None
    units: str = ""
    codes: Path | None = None
    resample: bool = False
    revision: int | None = None
    options: ResultOptions = field(default_factory=ResultOptions)


@dataclass(frozen=True)
class Made:
    """The objects of one result.

    Attributes:
        objects: data sets with the meta information of files.
        left_out: labels without a voxel.
    """

    objects: tuple[Dataset, ...]
    left_out: tuple[Label, ...] = ()


def make(series: ResultSeries, path: Path, request: Request) -> Made:
    """Make an image into DICOM.

    Args:
        series: that it belongs to.
        path: a NIfTI.
        request: what is wanted.

    Raises:
        ResultError: by the names of `Refusal`.
        AssemblyError: a source instance is damaged, or there is too little memory.
        TooLittleMemory: there is too little at the moment.
    """
    image = open_result(path)
    labels, codes = _labels(image, request), _codes(request)
    fit = find_volume(
        image,
        series.manifests,
        series.earlier,
        series.find,
        revision=request.revision,
        resample=request.resample,
    )
    size = len(fit.grid.frames) * fit.grid.frames[0].rows * fit.grid.frames[0].columns
    check_room(_BYTES_A_VOXEL * size, f"A result on {size} pixels")
    source = series.header(fit.grid.frames[0].sop_instance_uid)
    how = _how(fit, request)
    note = f"resampled to the source slices by {how}" if how else ""
    options = replace(request.options, note=note)
    if request.kind not in _OF_LABELS or request.form is Form.FRACTIONAL:
        values = _values(image, fit, how)
        return Made(tuple(_of_values(series, fit, source, values, labels, image, request, options)))
    mask = _mask(image, fit, how, labels)
    there = {label.value for label in mask.labels}
    left_out = tuple(label for label in labels or () if label.value not in there)
    return Made(tuple(_of_mask(fit, source, mask, codes, request, options)), left_out)


def _of_mask(
    fit: Fit,
    source: Dataset,
    mask: Numbered,
    codes: dict[str, Coded] | None,
    request: Request,
    options: ResultOptions,
) -> list[Dataset]:
    grid = fit.grid
    if request.kind is Kind.RTSTRUCT:
        return [results.to_rtstruct(grid, source, mask, None, options)]
    if request.kind is Kind.CAPTURE:
        return results.to_capture(grid, source, mask, _shown(fit), None, options)
    return [results.to_seg(grid, source, mask, None, options, form=request.form, codes=codes)]


def _of_values(
    series: ResultSeries,
    fit: Fit,
    source: Dataset,
    values: Voxels,
    labels: list[Label] | None,
    image: ResultImage,
    request: Request,
    options: ResultOptions,
) -> list[Dataset]:
    units = request.units or str(image.sidecar.get("Units") or "")
    if request.kind is Kind.MAP:
        return [results.to_map(fit.grid, source, values, units or NO_UNIT, options)]
    if request.kind is Kind.IMAGE:
        return results.to_image(
            fit.grid, source, values, options, units=units, headers=series.header
        )
    return [results.to_seg(fit.grid, source, values, labels, options, form=Form.FRACTIONAL)]


def _labels(image: ResultImage, request: Request) -> list[Label] | None:
    if request.kind not in _OF_LABELS:
        return None
    if request.labels is not None:
        return read_labels(read_json(request.labels, Refusal.BAD_LABELS))
    return read_labels(image.sidecar) if "Labels" in image.sidecar else None


def _codes(request: Request) -> dict[str, Coded] | None:
    if request.codes is None:
        return None
    return read_codes(read_json(request.codes, Refusal.BAD_LABELS))


def _how(fit: Fit, request: Request) -> str:
    """Return how the image has to be resampled; empty: its voxels are the source's pixels."""
    if fit.orientation is not None and (fit.grid.to_source is not None or not request.resample):
        return ""
    labels = request.kind in _OF_LABELS and request.form is not Form.FRACTIONAL
    return NEAREST if labels else LINEAR


def _mask(image: ResultImage, fit: Fit, how: str, labels: list[Label] | None) -> Numbered:
    """Return the numbered labels; of a large image only some layers are held as they are."""
    if how or fit.orientation is None:
        return numbered(fit.grid, _values(image, fit, how), labels)
    small, known = gathered(image.blocks(), image.shape)
    return renumbered(fit.grid.slices(fit.grid.placed(small, fit.orientation)), known, labels)


def _values(image: ResultImage, fit: Fit, how: str) -> Voxels:
    """Return the image's values on the grid, or at the source's pixels if they are resampled."""
    array = image.read()
    if not how:
        assert fit.orientation is not None  # noqa: S101
        return fit.grid.placed(array, fit.orientation)
    return fit.grid.sampled(array, image.affine, order=0 if how == NEAREST else 1)


def _shown(fit: Fit) -> Voxels:
    """Return the values of the volume itself, of a 4D one those of its first.

    Raises:
        ResultError: `unreadable-source`, if the file is not the one of the manifest.
    """
    manifest = fit.manifest
    path = Path(manifest["path"]).with_name(str(manifest.get("image", "")))
    try:
        if not manifest.get("image") or file_sha256(path) != manifest.get("sha256"):
            raise ResultError(
                Refusal.UNREADABLE_SOURCE,
                f"{path.name} is not the volume that its manifest speaks of; `rasnode retry` "
                "makes it anew.",
            )
        volume = nib.load(path)
    except OSError as error:
        raise ResultError(
            Refusal.UNREADABLE_SOURCE, f"{path.name} cannot be read: {error.strerror}."
        ) from error
    dataobj = volume.dataobj
    array: Array = np.asanyarray(dataobj[..., 0] if len(volume.shape) > 3 else dataobj)
    if array.dtype == RGB:
        array = np.mean([array[name] for name in array.dtype.names or ()], axis=0)
    if fit.grid.to_source is None:
        return fit.grid.sampled(array, np.asarray(volume.affine, np.float64), order=1)
    return array
