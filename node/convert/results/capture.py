"""Masks to Secondary Captures in colour, for workstations that show no Segmentation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from node.assemble.space import Array
from node.convert.results.drawing import magnified, picture, sides, write_on
from node.convert.results.grid import SourceFrame, SourceGrid, Voxels
from node.convert.results.labels import Label
from node.convert.results.masks import Mask, numbered
from node.convert.results.options import ResultOptions
from node.convert.results.source import (
    describe,
    finished,
    numbers,
    series_reference,
    source_image,
)
from node.core.version import VERSION

_BLACK, _WHITE = 1.0, 99.0
"""Percentiles of the volume that are shown black and white where the header has no window."""
_LOOKED_AT: Final = 1_000_000
"""Voxels that are looked at for that."""


def to_capture(
    grid: SourceGrid,
    source: Dataset,
    mask: Mask,
    image: Voxels,
    labels: Sequence[Label] | None = None,
    options: ResultOptions | None = None,
) -> list[Dataset]:
    """Draw a mask over the slices that it labels.

    Args:
        grid: the volume's grid, and its source frames.
        source: the data set of an instance of the series; its pixels are not needed.
        mask: (i, j, k) on the grid, RAS order: label numbers, 0 is no label.
        image: (i, j, k) the values of the volume itself, or what was sampled of it.
        labels: what the numbers mean; None: `Label N`.
        options: what the caller says of it.

    Returns:
        one colour image for each slice that has a label.

    Raises:
        ResultError: by the names of `Refusal`.
    """
    options = options or ResultOptions()
    slices, present = numbered(grid, mask, labels)
    shown = grid.in_slices(image)
    colours = {number: label.shown(number - 1) for number, label in enumerate(present, 1)}
    spread = _spread(shown)
    made: list[Dataset] = []
    for frame, plane, values in zip(grid.frames, slices, shown, strict=True):
        if plane.any():
            grey = _grey(values, frame, spread)
            drawn = picture(grey, plane, colours)
            one = _capture(grid, source, frame, drawn, options, len(made) + 1)
            one.ImageComments = "; ".join(label.name for label in present)[:10240]
            made.append(finished(one))
    return made


def _spread(values: Array) -> tuple[float, float]:
    """Return the values that are shown black and white where the header does not say."""
    step = max(1, values.size // _LOOKED_AT)
    some = values.ravel()[::step].astype(np.float64) if step == 1 else _some(values, step)
    some = some[np.isfinite(some)]
    if not some.size:
        return 0.0, 1.0
    low, high = np.percentile(some, [_BLACK, _WHITE]).tolist()
    return low, max(high, low + 1e-6)


def _some(values: Array, step: int) -> Array:
    """Return every so many-th value of each slice, without a copy of all of them."""
    return np.concatenate([plane.ravel()[::step] for plane in values]).astype(np.float64)


def _grey(values: Array, frame: SourceFrame, spread: tuple[float, float]) -> Array:
    low, high = spread
    if frame.window is not None and frame.window[1] > 0:
        centre, width = frame.window
        low, high = centre - width / 2, centre + width / 2
    scaled = (np.nan_to_num(values.astype(np.float64)) - low) / (high - low) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _capture(
    grid: SourceGrid,
    source: Dataset,
    frame: SourceFrame,
    drawn: Array,
    options: ResultOptions,
    number: int,
) -> Dataset:
    """Return one image with its letters and the line that says what made it."""
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    quadruped = source.get("AnatomicalOrientationType") == "QUADRUPED"
    left, right, top, bottom = (
        sides(direction, quadruped=quadruped) for direction in (-row, row, -column, column)
    )
    maker = " ".join(options.algorithm) if options.algorithm else "manual segmentation"
    line = f"{maker} (rasnode {VERSION})"
    pixels = np.ascontiguousarray(write_on(drawn, (left, right, top, bottom), line))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.sc.SCImage(
            pixel_array=pixels,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            study_instance_uid=grid.study_instance_uid,
            series_instance_uid=options.uid("series"),
            series_number=1,
            sop_instance_uid=options.uid("instance", number),
            instance_number=number,
            manufacturer="",
            patient_orientation=("L", "P"),
        )
    describe(made, source, options, "Capture", str(source.get("Modality") or "OT"))
    made.PatientOrientation = [right, bottom]
    made.ConversionType = "WSD"
    made.DateOfSecondaryCapture = made.InstanceCreationDate
    made.TimeOfSecondaryCapture = made.InstanceCreationTime
    times = magnified(frame.rows, frame.columns)
    made.PixelSpacing = list(numbers([value / times for value in frame.spacing]))
    made.BurnedInAnnotation = "NO"
    made.DerivationDescription = f"Drawn over the source slice: {line}"[:1024]
    made.SourceImageSequence = Items([source_image(frame, preserved=False)])
    made.ReferencedSeriesSequence = Items([series_reference(grid, [frame])])
    return made
