"""Published NIfTI volumes for the viewer: their geometry, and slices of them as pictures.

Pictures are in radiological orientation: the patient's right is on the left side, front or head is
up, the nose points to the left. The letters at the edges are read from the affine.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from PIL import Image

from node.assemble.volumes.preview import SOFT_TISSUE
from node.core.errors import Permanent

MAX_BYTES = 768 * 1024 * 1024
"""Bytes of voxels that the viewer holds in memory."""

_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_PICTURE_SAMPLES = 500_000  # enough to find a window
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


class NotViewable(Permanent):
    """The viewer cannot show a volume or slice; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in memory, with the values as they are stored.

    Attributes:
        stored: (i, j, k, t) or, for colour, (i, j, k, t, 3); stored values.
        affine: (4, 4) voxel (i, j, k) -> RAS mm.
        slope, intercept: value = stored * slope + intercept.
        spacing: mm along i, j, k.
        repetition: seconds from one t to the next; 0 if it is unknown.
        letters: the direction in which i, j and k increase, the nearest of R L A P S I.
        oblique: the largest angle between an axis and its letter's direction, degrees.
    """

    stored: NDArray[Any]
    affine: NDArray[np.float64]
    slope: float
    intercept: float
    spacing: tuple[float, float, float]
    repetition: float
    letters: tuple[str, str, str]
    oblique: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Voxels along i, j, k and t."""
        return cast("tuple[int, int, int, int]", self.stored.shape[:4])

    @property
    def is_colour(self) -> bool:
        """Whether every voxel has a red, a green and a blue value."""
        return self.stored.ndim == 5

    def values(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values, scaled."""
        return np.asarray(stored, dtype=np.float64) * self.slope + self.intercept

    def window(self, modality: str) -> tuple[float, float]:
        """The values to draw black and white at first.

        Args:
            modality: of the series; CT has the window of soft tissue.
        """
        if modality == "CT":
            return SOFT_TISSUE
        first = self.stored[:, :, :, 0].ravel(order="K")
        sample = self.values(first[:: 1 + first.size // _PICTURE_SAMPLES])
        sample = sample[np.isfinite(sample)]
        lit = sample[sample != sample.min()] if sample.size else sample
        if not lit.size:
            return 0.0, 1.0
        low, high = np.percentile(lit, (1, 99.5))
        black = float(sample.min() if sample.min() >= 0 else low)
        return black, max(float(high), black + 1e-6)

    def edges(self, axis: int) -> dict[str, str]:
        """The letters at the four edges of the pictures across an axis."""
        across, up = _plane(axis)
        return {
            "left": self.letters[across],
            "right": _OPPOSITE[self.letters[across]],
            "top": self.letters[up],
            "bottom": _OPPOSITE[self.letters[up]],
        }

    def picture(self, axis: int, index: int, time: int, low: float, high: float) -> bytes:
        """One slice as PNG, one pixel a voxel.

        Args:
            axis: across the slice: 0 (i), 1 (j) or 2 (k).
            index: of the slice on this axis.
            time: index t.
            low, high: values that are drawn black and white.

        Raises:
            NotViewable: the volume has no such slice.
        """
        if not (0 <= index < self.shape[axis] and 0 <= time < self.shape[3]):
            raise NotViewable(f"the volume has no slice {index} at time {time} on axis {axis}")
        plane = np.take(self.stored[:, :, :, time], index, axis=axis)
        plane = np.flip(plane, axis=(0, 1)).swapaxes(0, 1)  # both axes run to the left and up
        if not self.is_colour:
            values = (self.values(plane) - low) / (high - low)
            plane = np.nan_to_num(values * 255.0).clip(0, 255).astype(np.uint8)
        made = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).save(made, "PNG", compress_level=1)
        return made.getvalue()

    def voxel(self, i: int, j: int, k: int, time: int) -> tuple[list[float], list[float]]:
        """One voxel.

        Args:
            i, j, k, time: its indices in the array.

        Returns:
            Its value (three values for colour), and its place in RAS mm.

        Raises:
            NotViewable: the volume has no such voxel.
        """
        inside = zip((i, j, k, time), self.shape, strict=True)
        if not all(0 <= index < count for index, count in inside):
            raise NotViewable(f"the volume has no voxel ({i}, {j}, {k}) at time {time}")
        value = self.stored[i, j, k, time]
        values = value.tolist() if self.is_colour else [float(self.values(value))]
        place = self.affine @ np.array([i, j, k, 1.0])
        return values, place[:3].tolist()


def _plane(axis: int) -> tuple[int, int]:
    """The axes of the volume that a picture across `axis` shows: horizontal and vertical."""
    return ((1, 2), (0, 2), (0, 1))[axis]


def read_volume(path: Path) -> Volume:
    """Read a NIfTI-1 or NIfTI-2 file, compressed or not.

    Raises:
        NotViewable: the file is too large, or is not a volume.
        OSError: the file cannot be read.
    """
    with _opened(path) as file:
        header = _header(file.read(_NIFTI2_BYTES))
        shape = tuple(int(count) for count in header.get_data_shape())
        dtype = header.get_data_dtype()
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if len(shape) not in {3, 4} or not size or dtype.kind == "c":
            raise NotViewable(
                f"the viewer shows images with three or four dimensions; this one is {shape}"
            )
        if size > MAX_BYTES:
            raise NotViewable(
                f"the volume has {size >> 20} MiB, the viewer shows at most {MAX_BYTES >> 20} MiB; "
                "download the file and open it in another viewer"
            )
        file.seek(int(header.get_data_offset()))
        data = file.read(size)
    if len(data) != size:
        raise NotViewable("the file ends too early")
    return _volume(header, np.frombuffer(data, dtype).reshape(shape, order="F"))


def _header(head: bytes) -> Any:
    large = head[:4] in {b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c"}
    try:
        if large:
            return nibabel.Nifti2Header(head)
        return nibabel.Nifti1Header(head[:_NIFTI1_BYTES])
    except (HeaderDataError, WrapStructError) as error:
        raise NotViewable("the file is not NIfTI") from error


def _opened(path: Path) -> BinaryIO:
    if path.name.endswith(".gz"):
        return cast("BinaryIO", igzip.open(path, "rb"))
    return path.open("rb")


def _volume(header: Any, stored: NDArray[Any]) -> Volume:
    if stored.ndim == 3:
        stored = stored[..., np.newaxis]
    if stored.dtype.fields:
        colours = [stored[name] for name in "RGB"]
        stored = np.stack(colours, axis=-1)
    slope, intercept = header.get_slope_inter()
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    letters = nibabel.aff2axcodes(affine)
    zooms = [float(step) for step in np.linalg.norm(affine[:3, :3], axis=0)]
    unit = header.get_xyzt_units()[1]
    repetition = float(header["pixdim"][4]) * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1.0)
    return Volume(
        stored=stored,
        affine=affine,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        spacing=(zooms[0], zooms[1], zooms[2]),
        repetition=repetition if stored.shape[3] > 1 else 0.0,
        letters=(letters[0], letters[1], letters[2]),
        oblique=float(np.degrees(np.arccos(np.abs(steps).max(axis=0).clip(0, 1).min()))),
    )


class VolumeCache:
    """The volumes that were shown last, at most `MAX_BYTES`. Safe for several threads.

    Args:
        limit: bytes of voxels.
    """

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[str, int, int], Volume] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> Volume:
        """The volume as the file has it now.

        Raises:
            NotViewable, OSError: as `read_volume`.
        """
        state = path.stat()
        key = (str(path), state.st_mtime_ns, state.st_ino)
        with self._lock:  # also while reading: a page asks for many slices of one volume at once
            volume = self._held.get(key)
            if volume is None:
                volume = self._held[key] = read_volume(path)
            self._held.move_to_end(key)
            while len(self._held) > 1 and self._size() > self._limit:
                self._held.popitem(last=False)
        return volume

    def _size(self) -> int:
        return sum(volume.stored.nbytes for volume in self._held.values())
