"""Masks to DICOM Segmentations: binary, fractional, label map (PS3.3 A.51, C.8.20)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import highdicom as hd
import numpy as np
from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.sequence import Sequence as Items
from pydicom.sr.coding import Code as PydicomCode
from pydicom.tag import BaseTag

from node.assemble.space import Array
from node.convert.results.codes import Code, Coded
from node.convert.results.grid import SourceGrid
from node.convert.results.labels import Label, named
from node.convert.results.masks import Mask, Numbered, check_finite, numbered
from node.convert.results.options import Form, ResultOptions
from node.convert.results.refusals import Refusal, ResultError
from node.convert.results.segmentation.frames import (
    FRACTIONS,
    Frames,
    binary,
    fractional,
    functional_groups,
    label_map,
)
from node.convert.results.segmentation.header import segment_header
from node.convert.results.source import UTF8, describe, finished, refer_to_all

MOST_SEGMENTS: Final = 65535
"""Segment Number (0062,0004) is an unsigned 16-bit integer."""
_FAMILY: Final = PydicomCode("123110", "DCM", "Artificial Intelligence")
"""CID 7162; the Type 1 code of an algorithm of which only name and version are known."""


def to_seg(
    grid: SourceGrid,
    source: Dataset,
    mask: Mask,
    labels: Sequence[Label] | None = None,
    options: ResultOptions | None = None,
    *,
    form: Form = Form.BINARY,
    codes: Mapping[str, Coded] | None = None,
) -> Dataset:
    """Make a Segmentation of a mask.

    Args:
        grid: the volume's grid, and its source frames.
        source: the data set of an instance of the series; its pixels are not needed.
        mask: (i, j, k) on the grid, RAS order: label numbers, 0 is no label; for `FRACTIONAL`
            the probability of one label, 0 to 1. Or (slice, row, column) from `grid.sampled`.
        labels: what the numbers mean; None: `Label N`.
        options: what the caller says of it.
        form: which kind of Segmentation.
        codes: further codes by normalised name.

    Returns:
        the object; only slices that have a label have a frame.

    Raises:
        ResultError: by the names of `Refusal`.
    """
    options = options or ResultOptions()
    if form is Form.FRACTIONAL:
        stored, present = _fractions(grid, mask, labels)
        frames = fractional(stored)
    else:
        numbers, present = numbered(grid, mask, labels)
        _check_count(present)
        frames = binary(numbers) if form is Form.BINARY else label_map(numbers, len(present))
    described = [
        _described(number, label, options, codes) for number, label in enumerate(present, 1)
    ]
    with config.disable_value_validation():  # the source's UIDs are kept as they are
        result = finished(segment_header(grid, described, frames.places, options, form))
    describe(result, source, options, "Segmentation", "SEG")
    refer_to_all(result, grid)
    named = form is Form.BINARY and len(present) > 1
    _fill(result, frames, functional_groups(grid, frames.places, named=named))
    return result


def _check_count(present: Sequence[Label]) -> None:
    if len(present) > MOST_SEGMENTS:
        raise ResultError(
            Refusal.OUT_OF_RANGE, f"{len(present)} labels; a Segmentation has {MOST_SEGMENTS}."
        )


def _fill(result: Dataset, frames: Frames, groups: bytes) -> None:
    """Put the frames into an object.

    Args:
        result: is changed.
        frames: their pixels.
        groups: what is said of each, encoded.
    """
    result.NumberOfFrames = len(frames.places)
    result.PixelData = frames.pixels
    correct_ambiguous_vr(result, is_little_endian=True)
    # pydicom writes an encoded element as it is if the data set counts as read in that encoding
    result.set_original_encoding(False, True, convert_encodings(UTF8))
    tag = BaseTag(0x52009230)
    result[tag] = RawDataElement(tag, "SQ", len(groups), groups, 0, False, True)


def _fractions(
    grid: SourceGrid, mask: Mask, labels: Sequence[Label] | None
) -> tuple[Array, list[Label]]:
    """Return (slice, row, column) stored fractions, and the one label that they are of."""
    if isinstance(mask, Numbered):
        raise ResultError(Refusal.OUT_OF_RANGE, "Label numbers are no probabilities.")
    slices = grid.in_slices(mask)
    check_finite(slices)
    if slices.min() < 0 or slices.max() > 1:
        raise ResultError(
            Refusal.OUT_OF_RANGE,
            f"Values from {slices.min():g} to {slices.max():g}; a probability is from 0 to 1.",
        )
    stored = np.empty(slices.shape, np.uint8)
    for target, one in zip(stored, slices, strict=True):
        target[:] = np.rint(one * np.float64(FRACTIONS))
    if not stored.any():
        raise ResultError(
            Refusal.EMPTY_RESULT, f"No voxel has a probability of 1/{2 * FRACTIONS} or more."
        )
    if labels is not None and len(labels) != 1:
        raise ResultError(
            Refusal.BAD_LABELS,
            f"A probability map is of one label, and there are {len(labels)} in the list.",
        )
    return stored, named([labels[0].value if labels else 1], labels)


def _described(
    number: int, label: Label, options: ResultOptions, codes: Mapping[str, Coded] | None
) -> Any:
    """Return an item of Segment Sequence (PS3.3 C.8.20.2)."""
    coded = label.coded(codes)
    algorithm = options.algorithm
    identified = None
    if algorithm is not None:
        identified = hd.AlgorithmIdentificationSequence(
            name=algorithm.name, version=algorithm.version, family=_FAMILY
        )
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name,
        segmented_property_category=_concept(coded.category),
        segmented_property_type=_concept(coded.type),
        algorithm_type="MANUAL" if algorithm is None else "AUTOMATIC",
        algorithm_identification=identified,
        display_color=hd.color.CIELabColor.from_rgb(*label.shown(number - 1)),
    )
    item.SegmentDescription = f"label {label.value}"
    if coded.modifier is not None:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = Items([_concept(coded.modifier)])
    return item


def _concept(code: Code) -> Any:
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)
