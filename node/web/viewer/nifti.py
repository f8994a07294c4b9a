"""The header of a NIfTI file, and the stream of its voxels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import nibabel
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from node.web.viewer.messages import Geometry, NotViewable

_NIFTI1_BYTES: Final = 348
_NIFTI2_BYTES: Final = 540
_NIFTI2_SIZES: Final = {b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c"}
MOST_SLICE_BYTES: Final = 64 << 20
"""Bytes of one axial slice; reading and drawing takes a few times as much memory."""
RGB: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@contextmanager
def opened(path: Path) -> Iterator[tuple[Geometry, np.dtype[Any], BinaryIO]]:
    """Open a NIfTI-1 or NIfTI-2 file, compressed or not.

    Returns:
        its geometry, the type of its values, and the stream of its values, i fastest, then j, k, t.

    Raises:
        NotViewable: the file is not a volume.
        OSError: the file cannot be read.
    """
    with _stream(path) as file:
        header = _header(file.read(_NIFTI2_BYTES))
        geometry, dtype = _described(header)
        file.seek(int(header.get_data_offset()))
        yield geometry, dtype, file


def _stream(path: Path) -> BinaryIO:
    if path.name.endswith(".gz"):
        return cast("BinaryIO", igzip.open(path, "rb"))
    return path.open("rb")


def _header(head: bytes) -> Any:
    try:
        if head[:4] in _NIFTI2_SIZES:
            return nibabel.Nifti2Header(head)
        return nibabel.Nifti1Header(head[:_NIFTI1_BYTES])
    except (HeaderDataError, WrapStructError) as error:
        raise NotViewable("the file is not NIfTI") from error


def _described(header: Any) -> tuple[Geometry, np.dtype[Any]]:
    shape = tuple(int(count) for count in header.get_data_shape())
    dtype: np.dtype[Any] = header.get_data_dtype()
    if len(shape) not in {3, 4} or 0 in shape or dtype.kind not in "iufV":
        raise NotViewable(
            f"the viewer shows images with three or four dimensions; this one is {shape}"
        )
    if dtype.kind == "V" and dtype.names != RGB.names:
        raise NotViewable("the viewer shows colours of red, green and blue without transparency")
    if shape[0] * shape[1] * dtype.itemsize > MOST_SLICE_BYTES:
        raise NotViewable(
            f"a slice of {shape[0]} × {shape[1]} voxels has more than {MOST_SLICE_BYTES >> 20} "
            "MiB; download the file and open it in another viewer"
        )
    affine: NDArray[np.float64] = np.asarray(header.get_best_affine(), dtype=np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    letters = nibabel.aff2axcodes(affine)
    if not lengths.all() or None in letters:
        raise NotViewable("the affine of the file has no inverse")
    cosines = np.abs(affine[:3, :3] / lengths).max(axis=0).clip(0, 1)
    slope, intercept = header.get_slope_inter()
    times = shape[3] if len(shape) == 4 else 1
    unit = header.get_xyzt_units()[1]
    repetition = float(header["pixdim"][4]) * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1.0)
    return Geometry(
        shape=(shape[0], shape[1], shape[2], times),
        stored="rgb" if dtype.kind == "V" else dtype.newbyteorder("=").name,
        affine=affine.tolist(),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        spacing=(float(lengths[0]), float(lengths[1]), float(lengths[2])),
        repetition=repetition if times > 1 else 0.0,
        letters=(letters[0], letters[1], letters[2]),
        oblique=float(np.degrees(np.arccos(cosines.min()))),
    ), dtype
