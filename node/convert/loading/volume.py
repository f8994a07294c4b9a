"""A volume in Python: its array, its affines, what it was made of, and other libraries' forms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from node.assemble.frames.model import LABEL_CLASSES
from node.assemble.space import Matrix, ras_to_lps
from node.assemble.volumes.manifest import make_manifest
from node.assemble.volumes.nifti import scaled_image
from node.convert.loading.handover import to_sitk, to_tensor
from node.convert.volume import Volume
from node.core.version import VERSION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from node.assemble.series import VolumePlan
    from node.convert.loading.answers import Answering, Labels, Voxels
    from node.convert.results import ResultOptions


@dataclass(frozen=True)
class LoadedVolume(ABC):
    """One volume, as the node and `rasnode convert` write it.

    Attributes:
        series_instance_uid: the series that it comes from.
        suffix: what tells it from other volumes of that series, such as `_e2`.
        residual_mm: how far a slice lies from where the affine puts it, at most.
        instances: the DICOM files of its slices, each once, in the order of `sources`; those of a
            ZIP file are there as long as the volume is.
    """

    series_instance_uid: str
    suffix: str
    residual_mm: float
    instances: tuple[Path, ...] = field(repr=False)

    @property
    @abstractmethod
    def affine(self) -> Matrix:
        """(4, 4) voxel (i, j, k) -> RAS mm, as the file has it: in float32's precision."""

    @abstractmethod
    def nifti(self) -> nib.Nifti1Image | nib.Nifti2Image:
        """Return the image; saved as .nii it is the very file that the node would write.

        It is NIfTI-2 where an axis is longer than NIfTI-1 can count, 32,767.
        """

    @property
    @abstractmethod
    def manifest(self) -> Mapping[str, Any]:
        """What `.manifest.json` says of the volume, as far as it is known; not to be changed."""

    @property
    def array(self) -> npt.NDArray[Any]:
        """(i, j, k) or (i, j, k, t) values in RAS order, the scale applied.

        Type and values are those that nibabel reads from the file that the node writes.
        """
        return np.asanyarray(self.nifti().dataobj)

    @property
    def lps_affine(self) -> Matrix:
        """(4, 4) voxel (i, j, k) -> LPS mm, DICOM's and ITK's world; the voxels are the same."""
        return ras_to_lps(self.affine)

    @property
    def sources(self) -> Sequence[Mapping[str, Any]]:
        """Which instance filled which slice.

        For each slice `k` (along `manifest["slice_axis"]`) and volume `t`: `sop_instance_uid`,
        for a multi-frame instance `frame` from 1, for a mosaic `tile` (row, column).
        """
        found: Sequence[Mapping[str, Any]] = self.manifest.get("sources", ())
        return found

    @property
    def voxel_to_source(self) -> Matrix | None:
        """(4, 4) voxel (i, j, k) -> (column, row, slice) of the source; None for labels."""
        mapping = self.manifest.get("voxel_to_source")
        return None if mapping is None else np.asarray(mapping, np.float64)

    def sitk(self) -> Any:
        """Return a SimpleITK image: the same voxels, its origin and directions in LPS.

        A tilted gantry's shear is in the directions, which are then not at right angles. Colours
        are vectors, a 4D volume is a 4D image.

        Raises:
            ImportError: SimpleITK is not installed (`pip install "rasnode[sitk]"`).
        """
        return to_sitk(self.array, self.lps_affine)

    def to_seg(
        self,
        mask: Voxels,
        labels: Labels | None = None,
        options: ResultOptions | None = None,
        *,
        form: str = "binary",
    ) -> Dataset:
        """Make a DICOM Segmentation of a mask, on the slices that the volume came from.

        Args:
            mask: (i, j, k) label numbers on the volume's grid, 0 is no label; or a nibabel image
                on it in any axis order, which is refused if it lies elsewhere.
            labels: what the numbers mean: `{1: "Liver"}`, a list of Label or of mappings as in the
                JSON beside a label map; None: `Label N`.
            options: description, algorithm and the like.
            form: `binary`, `labelmap`, or `fractional` for the probability of one label.

        Raises:
            ResultError: it cannot be put on the volume's voxels, by name.
        """
        return self._answering.seg(mask, labels, options, form)

    def to_rtstruct(
        self, mask: Voxels, labels: Labels | None = None, options: ResultOptions | None = None
    ) -> Dataset:
        """Make an RT Structure Set of a mask.

        Args:
            mask: as for `to_seg`.
            labels: as for `to_seg`.
            options: description, algorithm and the like.

        Raises:
            ResultError: as `to_seg`.
        """
        return self._answering.rtstruct(mask, labels, options)

    def to_map(
        self, values: Voxels, units: str = "1", options: ResultOptions | None = None
    ) -> Dataset:
        """Make a Parametric Map of values.

        Args:
            values: (i, j, k) on the volume's grid, or a nibabel image on it.
            units: a code of UCUM, such as `mm2/s`; `1` is no unit.
            options: description, algorithm and the like.

        Raises:
            ResultError: as `to_seg`.
        """
        return self._answering.map(values, units, options)

    def to_image(
        self, values: Voxels, units: str = "", options: ResultOptions | None = None
    ) -> list[Dataset]:
        """Make a derived series of values, such as a denoised image: one data set a slice.

        Args:
            values: (i, j, k) on the volume's grid, or a nibabel image on it.
            units: for Rescale Type; empty: HU for CT, else unspecified.
            options: description, algorithm and the like.

        Raises:
            ResultError: as `to_seg`.
        """
        return self._answering.image(values, units, options)

    @property
    def _plan(self) -> VolumePlan | None:
        return None

    @cached_property
    def _answering(self) -> Answering:
        # highdicom takes longer to import than most volumes to load
        from node.convert.loading.answers import Answering  # noqa: PLC0415

        return Answering(self.instances, self.manifest, self._plan)

    def tensor(self) -> Any:
        """Return a torch tensor of float32: (1, i, j, k), or (t, i, j, k), or (3, i, j, k) of RGB.

        Where MONAI is installed, it is a MetaTensor with the affine and the space RAS.

        Raises:
            ImportError: torch is not installed (`pip install "rasnode[torch]"`).
        """
        return to_tensor(self.array, self.affine)


@dataclass(frozen=True)
class AssembledVolume(LoadedVolume):
    """One that was made of DICOM files just now.

    Attributes:
        volume: in memory.
        kept: what has to stay as long as the instances are needed.
    """

    volume: Volume = field(repr=False)
    kept: Sequence[object] = field(default=(), repr=False)

    @property
    def affine(self) -> Matrix:
        """(4, 4) voxel (i, j, k) -> RAS mm, as the file has it: in float32's precision."""
        return np.asarray(self.volume.header().get_best_affine(), np.float64)

    def nifti(self) -> nib.Nifti1Image | nib.Nifti2Image:
        """Return the image; saved as .nii it is the very file that the node would write.

        It is NIfTI-2 where an axis is longer than NIfTI-1 can count, 32,767.
        """
        return scaled_image(self.volume.stored, self.volume.header())

    @property
    def _plan(self) -> VolumePlan | None:
        return self.volume.plan

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """What `.manifest.json` would say, without a revision, a verdict and names of files."""
        plan = self.volume.plan
        found: dict[str, Any] = make_manifest(
            plan, proof={}, software=VERSION, image="", sha256="", left_out=(), refusals=()
        )
        header = plan.first.header
        if header.sop_class_uid in LABEL_CLASSES:
            del found["voxel_to_source"]
            found["sources"] = [{"sop_instance_uid": header.sop_instance_uid}]
        return found
