"""Values to Parametric Maps, exact to the last bit (PS3.3 A.75, C.8.32)."""

from __future__ import annotations

import warnings
from typing import Final

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from node.assemble.space import Array
from node.convert.results.grid import SourceGrid, Voxels
from node.convert.results.masks import check_finite
from node.convert.results.options import NO_UNIT, ResultOptions
from node.convert.results.refusals import Refusal, ResultError
from node.convert.results.source import describe, finished, refer, stand_ins

LONGEST_UNIT: Final = 64
_SHORT: Final = 16
"""Characters of VR SH: Code Value (0008,0100), LUT Label (0040,9210)."""
_EXACT: Final = 2**53
"""Up to this float64 holds every whole number."""
_MEANINGS: Final = {NO_UNIT: "no units", "[hnsf'U]": "Hounsfield unit", "%": "percent"}


def to_map(
    grid: SourceGrid,
    source: Dataset,
    values: Voxels,
    units: str = NO_UNIT,
    options: ResultOptions | None = None,
) -> Dataset:
    """Make a Parametric Map of values: float32, or float64 where float32 cannot hold them.

    Args:
        grid: the volume's grid, and its source frames.
        source: the data set of an instance of the series; its pixels are not needed.
        values: (i, j, k) on the grid, RAS order.
        units: a code of UCUM, such as `mm2/s`.
        options: what the caller says of it.

    Raises:
        ResultError: by the names of `Refusal`.
    """
    options = options or ResultOptions()
    if not 0 < len(units) <= LONGEST_UNIT or not all("!" <= one <= "~" for one in units):
        raise ResultError(
            Refusal.OUT_OF_RANGE, f"{units!r} is no unit of UCUM, such as mm2/s or [hnsf'U]."
        )
    pixels = _exact(grid.in_slices(values))
    low, high = float(pixels.min()), float(pixels.max())
    description = options.description or "Parametric map"
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=units if len(units) <= _SHORT else "values",
        lut_explanation=description[:64],
        unit=hd.sr.CodedConcept(units, "UCUM", _MEANINGS.get(units, units)),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    window = hd.VOILUTTransformation(
        window_center=(low + high) / 2,
        window_width=max(high - low, 1e-6),
        voi_lut_function="LINEAR_EXACT",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.pm.ParametricMap(
            source_images=stand_ins(grid),
            pixel_array=pixels,
            series_instance_uid=options.uid("series"),
            series_number=1,
            sop_instance_uid=options.uid("instance", 1),
            instance_number=1,
            manufacturer="",
            manufacturer_model_name="",
            software_versions="",
            device_serial_number="",
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[window],
            content_description=options.note[:64] or None,
            content_label="MAP",
        )
    result = finished(made)
    describe(result, source, options, "Map", "OT")
    refer(result, grid)
    _organise(result, options)
    return result


def _organise(result: Dataset, options: ResultOptions) -> None:
    """Give the dimensions of a multi-frame object a UID that follows from the seed."""
    uid = options.uid("dimensions")
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _exact(slices: Array) -> Array:
    """Return (slice, row, column) as float32 if that holds every value, else as float64."""
    check_finite(slices)
    if slices.dtype.kind not in "iufb":
        raise ResultError(Refusal.UNREADABLE_IMAGE, "The voxels are no real numbers.")
    if slices.dtype in (np.float32, np.float16, np.int8, np.uint8, np.int16, np.uint16, np.bool_):
        return np.ascontiguousarray(slices, np.float32)
    if slices.dtype.kind in "iu" and max(int(slices.max()), -int(slices.min())) > _EXACT:
        raise ResultError(
            Refusal.OUT_OF_RANGE, "Whole numbers above 2^53 are more than a Parametric Map holds."
        )
    with np.errstate(over="ignore"):
        narrow = all(np.array_equal(one.astype(np.float32), one) for one in slices)
    return np.ascontiguousarray(slices, np.float32 if narrow else np.float64)
