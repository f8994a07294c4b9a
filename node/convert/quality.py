"""Measures the quality of a 4D image that was just written: motion, tSNR, spikes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip

from node.assemble.quality.measures import MASK_SHARE, SPIKE_LIMIT, SignalRecorder
from node.assemble.quality.motion import HEAD_RADIUS, MotionEstimator, framewise_displacement
from node.assemble.series import VolumePlan
from node.assemble.sidecar.diffusion import gradients
from node.assemble.volumes.manifest import slice_axis
from node.assemble.volumes.preview import PreviewPlanes, render

log = logging.getLogger(__name__)

QUALITY: Final = ".quality.json"
TSNR: Final = ".tsnr.png"
"""The picture of the temporal signal-to-noise ratio."""
_WHITE_STEP: Final = 5
"""The ratio that is white in the picture is a multiple of it."""
FD_LIMIT: Final = 0.5
"""mm; volumes above it are counted (Power et al., 2012)."""
_FEWEST: Final = 10
"""Volumes; the measures say nothing of shorter series."""
_SMALLEST: Final = 8
"""Voxels along each axis; smaller volumes cannot be registered."""
_LISTED: Final = 200
"""Spikes that are listed one by one."""


class Measured(NamedTuple):
    """What was measured of a volume.

    Attributes:
        fields: of `.quality.json`: numbers with their units and limits.
        tsnr: (i, j, k) temporal signal-to-noise ratio, 0 outside the mask; RAS.
    """

    fields: dict[str, Any]
    tsnr: npt.NDArray[np.float32]

    def picture(self, affine: npt.NDArray[np.float64]) -> bytes:
        """A PNG of the ratio in the middle axial, coronal and sagittal plane.

        Args:
            affine: (4, 4) voxel -> RAS mm.
        """
        planes = PreviewPlanes(self.tsnr.shape, self.tsnr.dtype)
        planes.take(0, self.tsnr)
        return render([planes], affine, (0.0, float(self.fields["tsnr"]["white"] or 1)))


def is_measured(volume: VolumePlan) -> bool:
    """Whether the measures mean something for a volume: MR, many times, one contrast."""
    header, shape = volume.first.header, volume.shape
    if header.modality != "MR" or len(shape) != 4 or shape[3] < _FEWEST:
        return False
    return min(shape[:3]) >= _SMALLEST and gradients(volume) is None


def measured(image: Path, volume: VolumePlan) -> Measured | None:
    """Measure an image that was written; None if it cannot be measured.

    Args:
        image: the NIfTI file.
        volume: its plan.
    """
    try:
        return _measured(image, volume)
    except Exception:  # the volume is published all the same
        log.exception("the quality of a volume could not be measured; please report it")
        return None


def summary(fields: dict[str, Any]) -> dict[str, Any]:
    """The figures for payloads, API and metrics: no lists.

    Args:
        fields: as `measured` returns them.
    """
    motion = fields["motion"]
    return {
        "volumes": fields["volumes"],
        "fd_mean_mm": motion["framewise_displacement"]["mean_mm"],
        "fd_max_mm": motion["framewise_displacement"]["max_mm"],
        "fd_above_limit": motion["framewise_displacement"]["above_limit"],
        "fd_limit_mm": FD_LIMIT,
        "translation_max_mm": motion["translation_max_mm"],
        "rotation_max_degrees": motion["rotation_max_degrees"],
        "tsnr_median": fields["tsnr"]["median"],
        "tsnr_white": fields["tsnr"]["white"],
        "spikes": fields["spikes"]["count"],
    }


def _measured(image: Path, volume: VolumePlan) -> Measured:
    signal = SignalRecorder(volume.shape[:3], slice_axis(volume))  # type: ignore[arg-type]
    estimator: MotionEstimator | None = None
    poses = []
    for values in _volumes(image):
        signal.add(values)
        if estimator is None:
            estimator = MotionEstimator(values, volume.affine)
            poses.append(np.zeros(6))
        else:
            poses.append(estimator.register(values))
    if estimator is None:
        raise ValueError("the image has no volumes")
    header = volume.first.header
    ratio, mask = signal.tsnr()
    fields = {
        "series_instance_uid": header.series_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "volumes": len(poses),
        "motion": _motion(np.stack(poses), estimator.centre),
        "tsnr": _tsnr(ratio, mask),
        "spikes": _spikes(signal),
    }
    return Measured(fields, np.where(mask, ratio, 0).astype(np.float32))


def _motion(poses: npt.NDArray[np.float64], centre: npt.NDArray[np.float64]) -> dict[str, Any]:
    ways = framewise_displacement(poses)
    return {
        "about": "Each volume against the first: translation of `centre` along R, A, S, and "
        "rotation about R, A, S. Framewise displacement after Power et al. (2012).",
        "centre_ras_mm": _rounded(centre, 2),
        "head_radius_mm": HEAD_RADIUS,
        "translation_mm": [_rounded(row, 3) for row in poses[:, :3]],
        "rotation_degrees": [_rounded(row, 3) for row in poses[:, 3:]],
        "translation_max_mm": _number(np.abs(poses[:, :3]).max(), 3),
        "rotation_max_degrees": _number(np.abs(poses[:, 3:]).max(), 3),
        "framewise_displacement": {
            "mean_mm": _number(ways[1:].mean(), 3),
            "median_mm": _number(np.median(ways[1:]), 3),
            "max_mm": _number(ways.max(), 3),
            "limit_mm": FD_LIMIT,
            "above_limit": int(np.count_nonzero(ways > FD_LIMIT)),
            "values_mm": _rounded(ways, 3),
        },
    }


def _tsnr(ratio: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    seen = ratio[mask & (ratio > 0)]
    low, middle, high, most = np.percentile(seen, [5, 50, 95, 98]) if seen.size else (np.nan,) * 4
    return {
        "about": "Mean divided by the standard deviation around the linear trend, in voxels with "
        f"a mean above {MASK_SHARE:g} of the 98th percentile. A ratio, without a unit. In the "
        "picture 0 is black, and `white` is white.",
        "median": _number(middle, 2),
        "percentile_5": _number(low, 2),
        "percentile_95": _number(high, 2),
        "white": _number(np.ceil(most / _WHITE_STEP) * _WHITE_STEP, 0),
        "voxels": int(np.count_nonzero(mask)),
    }


def _spikes(signal: SignalRecorder) -> dict[str, Any]:
    found = signal.spikes()
    return {
        "about": "Slices whose mean signal is far from that of the neighbouring volumes, in robust "
        "standard deviations; k counts along the slice axis of the array.",
        "limit": SPIKE_LIMIT,
        "count": len(found),
        "slices": [spike._asdict() for spike in found[:_LISTED]],
    }


def _volumes(image: Path) -> Iterator[npt.NDArray[Any]]:
    """The volumes of a NIfTI file one by one, (i, j, k), each read once."""
    with igzip.open(image) if image.suffix == ".gz" else image.open("rb") as file:
        header = nib.Nifti1Header.from_fileobj(file)
        file.read(int(header.get_data_offset()) - header.sizeof_hdr - (file.tell() - 348))
        shape, kind = header.get_data_shape(), header.get_data_dtype()
        slope, intercept = (value or 0.0 for value in header.get_slope_inter())
        size = int(np.prod(shape[:3])) * kind.itemsize
        for _ in range(shape[3]):
            values = np.frombuffer(file.read(size), kind).reshape(shape[:3], order="F")
            yield values * (slope or 1.0) + intercept


def _number(value: float, digits: int) -> float | None:
    """A rounded number; None if it is not known."""
    return round(float(value), digits) + 0.0 if np.isfinite(value) else None


def _rounded(values: npt.NDArray[np.float64], digits: int) -> list[float | None]:
    return [_number(value, digits) for value in values.tolist()]
