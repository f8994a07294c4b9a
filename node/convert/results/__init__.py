"""Results into DICOM: masks, maps and images on a volume's grid, onto the slices it came from.

Everything here is pure: geometry, header data sets and arrays in, data sets out. `SourceGrid` says
of which source frame and pixel each voxel is; `source` is the data set of one of the series'
instances, whose patient and study the result keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.convert.results.labels import Code, Label, read_codes, read_labels
from node.convert.results.options import Algorithm, Form, ResultOptions
from node.convert.results.refusals import Refusal, ResultError
from node.core.lazy_imports import importing

if TYPE_CHECKING:
    from node.convert.results.capture import to_capture
    from node.convert.results.derived_image import to_image
    from node.convert.results.grid import SourceFrame, SourceGrid
    from node.convert.results.parametric_map import to_map
    from node.convert.results.rtstruct import to_rtstruct
    from node.convert.results.segmentation.seg import to_seg
    from node.convert.results.volume_grids import grid_of_manifest, grid_of_plan

__all__ = [
    "Algorithm",
    "Code",
    "Form",
    "Label",
    "Refusal",
    "ResultError",
    "ResultOptions",
    "SourceFrame",
    "SourceGrid",
    "grid_of_manifest",
    "grid_of_plan",
    "read_codes",
    "read_labels",
    "to_capture",
    "to_image",
    "to_map",
    "to_rtstruct",
    "to_seg",
]

# Imported when they are wanted: not each of them needs highdicom and PIL.
__getattr__ = importing(
    __name__,
    {
        "SourceFrame": "node.convert.results.grid",
        "SourceGrid": "node.convert.results.grid",
        "grid_of_manifest": "node.convert.results.volume_grids",
        "grid_of_plan": "node.convert.results.volume_grids",
        "to_capture": "node.convert.results.capture",
        "to_image": "node.convert.results.derived_image",
        "to_map": "node.convert.results.parametric_map",
        "to_rtstruct": "node.convert.results.rtstruct",
        "to_seg": "node.convert.results.segmentation.seg",
    },
)
