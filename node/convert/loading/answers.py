"""Results on a loaded volume: masks, maps and images back onto the DICOM slices it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.assemble.space import Array
from node.convert.folder import read_file
from node.convert.results import (
    Form,
    Label,
    Refusal,
    ResultError,
    ResultOptions,
    SourceGrid,
    read_labels,
    to_image,
    to_map,
    to_rtstruct,
    to_seg,
)
from node.convert.results.volume_grids import finder, grid_of_manifest, grid_of_plan
from node.convert.sources import InstanceSource

if TYPE_CHECKING:
    from node.assemble.series import VolumePlan

Labels = Mapping[int, str] | Sequence[Label] | Sequence[Mapping[str, Any]]
Voxels = Any
"""(i, j, k) on the volume's grid in RAS order, or a nibabel image on it in any axis order."""


class Answering:
    """A volume whose DICOM files are at hand.

    Args:
        instances: its DICOM files.
        manifest: what it was made of.
        plan: the same where it was made just now; None: the manifest has it.
    """

    def __init__(
        self, instances: Sequence[Path], manifest: Mapping[str, Any], plan: VolumePlan | None
    ) -> None:
        found = [(path, read_file(path)) for path in instances]
        self._sources: dict[str, tuple[Path, InstanceSource]] = {
            source.uid: (path, source) for path, source in found if source is not None
        }
        if not self._sources:
            raise ResultError(
                Refusal.UNREADABLE_SOURCE,
                "The DICOM files of the volume are not at hand: open_volume(path, source=FOLDER) "
                "says where they are.",
            )
        if plan is None:
            headers = [source.header for _, source in self._sources.values()]
            self.grid: SourceGrid = grid_of_manifest(manifest, finder(headers))
        else:
            self.grid = grid_of_plan(plan)

    def seg(
        self, mask: Voxels, labels: Labels | None, options: ResultOptions | None, form: str
    ) -> Dataset:
        """Make a Segmentation."""
        voxels, known = self._voxels(mask), _labels(labels)
        return to_seg(self.grid, self._first(), voxels, known, options, form=Form(form))

    def rtstruct(
        self, mask: Voxels, labels: Labels | None, options: ResultOptions | None
    ) -> Dataset:
        """Make an RT Structure Set."""
        return to_rtstruct(self.grid, self._first(), self._voxels(mask), _labels(labels), options)

    def map(self, values: Voxels, units: str, options: ResultOptions | None) -> Dataset:
        """Make a Parametric Map."""
        return to_map(self.grid, self._first(), self._voxels(values), units, options)

    def image(self, values: Voxels, units: str, options: ResultOptions | None) -> list[Dataset]:
        """Make a derived series."""
        headers: Callable[[str], Dataset] = self._header
        voxels = self._voxels(values)
        return to_image(self.grid, self._first(), voxels, options, units=units, headers=headers)

    def _voxels(self, given: Voxels) -> Array:
        affine = getattr(given, "affine", None)
        array: Array = np.asanyarray(given if affine is None else given.dataobj)
        if array.ndim != 3:
            raise ResultError(
                Refusal.WRONG_DIMENSIONS, f"The shape {array.shape}; a result has 3 dimensions."
            )
        if affine is None:
            return array
        return self.grid.placed(array, self.grid.fit(np.asarray(affine, np.float64), array.shape))

    def _first(self) -> Dataset:
        return self._header(self.grid.frames[0].sop_instance_uid)

    def _header(self, uid: str) -> Dataset:
        return dcmread(self._sources[uid][0], stop_before_pixels=True, force=True)


def _labels(labels: Labels | None) -> list[Label] | None:
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        return read_labels([{"value": value, "name": name} for value, name in labels.items()])
    return [one if isinstance(one, Label) else read_labels([one])[0] for one in labels]
