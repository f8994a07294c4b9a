"""DICOM to arrays in Python: `load_dicom` and `load_all`.

Examples:
    >>> from pydicom.data import get_testdata_file
    >>> volume = load_dicom(get_testdata_file("CT_small.dcm"))
    >>> volume.array.shape, volume.array.dtype.name
    ((128, 128, 1), 'int16')
    >>> volume.affine.round(2).tolist()[2]
    [0.0, 0.0, 5.0, -75.7]
    >>> [one.suffix for one in load_all(get_testdata_file("CT_small.dcm"))]
    ['']
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from node.assemble.space import Matrix
from node.assemble.volumes.nifti import scaled_image
from node.convert import Volume, read_folder, volumes_of
from node.core.errors import AssemblyError, Reason

Source = str | PathLike[str] | Iterable[str | PathLike[str]]


@dataclass(frozen=True)
class LoadedVolume:
    """One volume, as the node and `rasnode convert` write it.

    Attributes:
        series_instance_uid: the series that it comes from.
        suffix: what tells it from other volumes of that series, such as `_e2`.
        residual_mm: how far a slice lies from where the affine puts it, at most.
    """

    _volume: Volume
    series_instance_uid: str
    suffix: str
    residual_mm: float

    @property
    def affine(self) -> Matrix:
        """(4, 4) voxel (i, j, k) -> RAS mm, as the file has it: in float32's precision."""
        return np.asarray(self._volume.header().get_best_affine(), np.float64)

    @property
    def array(self) -> npt.NDArray[Any]:
        """(i, j, k) or (i, j, k, t) values in RAS order, the scale applied.

        Type and values are those that nibabel reads from the file that the node writes.
        """
        return np.asanyarray(self.nifti().dataobj)

    def nifti(self) -> nib.Nifti1Image | nib.Nifti2Image:
        """Return the image; saved as .nii it is the very file that the node would write.

        It is NIfTI-2 where an axis is longer than NIfTI-1 can count, 32,767.
        """
        return scaled_image(self._volume.stored, self._volume.header())


def load_dicom(source: Source) -> LoadedVolume:
    """Load the one volume in a file or folder.

    Args:
        source: a file, a folder, or several of either.

    Raises:
        FileNotFoundError: a file or folder is not there.
        AssemblyError: there is none that can be trusted (the first refusal says why), or there
            are several: then use `load_all`.
    """
    volumes, refusals = _load(source)
    if len(volumes) == 1:
        return volumes[0]
    if volumes:
        raise AssemblyError(
            Reason.MIXED_ORIENTATIONS,
            f"There are {len(volumes)} volumes in it, not one; load_all returns them all.",
        )
    raise refusals[0] if refusals else AssemblyError(Reason.NOT_AN_IMAGE, "No DICOM image in it.")


def load_all(source: Source) -> list[LoadedVolume]:
    """Load every volume of every series in a file or folder.

    Raises:
        FileNotFoundError: a file or folder is not there.
        AssemblyError: there is none that can be trusted.
    """
    volumes, refusals = _load(source)
    if not volumes and refusals:
        raise refusals[0]
    return volumes


def _load(source: Source) -> tuple[list[LoadedVolume], list[AssemblyError]]:
    paths = [Path(path) for path in ([source] if isinstance(source, str | PathLike) else source)]
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "There is no such file or folder", str(path))
    volumes: list[LoadedVolume] = []
    refusals: list[AssemblyError] = []
    found_series = read_folder(paths)[0]
    present = {series.uid for series in found_series}
    for series in found_series:
        for found in volumes_of(series.instances, present):
            if isinstance(found, AssemblyError):
                refusals.append(found)
            else:
                plan = found.plan
                volumes.append(LoadedVolume(found, series.uid, plan.suffix, plan.residual_mm))
    return volumes, refusals
