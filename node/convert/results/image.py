"""The image that a result is made of: a NIfTI, and what the JSON files beside it say."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from node.assemble.space import Array, Matrix
from node.convert.memory import check_room
from node.convert.results.refusals import Refusal, ResultError

ENDINGS: Final = (".nii.gz", ".nii")
MANIFEST: Final = ".manifest.json"
LARGEST_JSON: Final = 64 << 20
"""Bytes of a JSON file; the manifest of a series of 100,000 slices has a tenth of that."""
_BLOCK_BYTES: Final = 4 << 20
"""That are read at a time: what is done to them finds them in the processor's cache."""
_DIMENSIONS: Final = 3
_UNREADABLE: Final = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error)
"""What nibabel raises for files that are no NIfTI, are cut off, or have a wrong header."""


@dataclass(frozen=True)
class ResultImage:
    """An image that was opened and not read.

    Attributes:
        affine: (4, 4) voxel -> RAS mm.
        shape: (i, j, k).
        sidecar, manifest: what the JSON files beside it say; empty where there are none.
    """

    path: Path
    affine: Matrix
    shape: tuple[int, int, int]
    sidecar: Mapping[str, Any]
    manifest: Mapping[str, Any]
    _image: Any = field(repr=False)

    @property
    def frames_of_reference(self) -> set[str]:
        """Every Frame of Reference UID that is said to be its own."""
        said = (
            self.manifest.get("frame_of_reference_uid"),
            self.sidecar.get("FrameOfReferenceUID"),
        )
        return {str(uid) for uid in said if uid}

    def read(self) -> Array:
        """Return (i, j, k) values, the scale of the header applied.

        Raises:
            ResultError: `unreadable-image`.
        """
        size = int(np.prod(self.shape)) * np.dtype(self._image.get_data_dtype()).itemsize
        check_room(2 * size, f"The image of {self.shape} voxels")
        try:
            array: Array = np.asanyarray(self._image.dataobj)
        except _UNREADABLE as error:
            raise _unreadable(self.path, "its voxels cannot be read") from error
        if array.dtype.kind not in "iufb":
            raise _unreadable(self.path, "its voxels are no real numbers")
        return np.asarray(array.reshape(self.shape, order="F"))

    def blocks(self) -> Iterator[Array]:
        """Yield the values along the third axis, so many layers at a time, in the file's order.

        Each is (i, j, layers), the scale of the header applied as nibabel applies it.

        Raises:
            ResultError: `unreadable-image`.
        """
        proxy = self._image.dataobj
        i, j, k = self.shape
        layer = i * j * proxy.dtype.itemsize
        layers = max(1, _BLOCK_BYTES // layer)
        if proxy.dtype.kind not in "iufb":
            raise _unreadable(self.path, "its voxels are no real numbers")
        try:
            with _opened(self.path) as file:
                file.seek(proxy.offset)
                for start in range(0, k, layers):
                    count = min(layers, k - start)
                    raw = file.read(count * layer)
                    if len(raw) < count * layer:
                        raise EOFError
                    block = np.frombuffer(raw, proxy.dtype).reshape((i, j, count), order="F")
                    yield apply_read_scaling(block, proxy.slope, proxy.inter)
        except _UNREADABLE as error:
            raise _unreadable(self.path, "its voxels cannot be read") from error


def _opened(path: Path) -> BinaryIO:
    """Open a file, decompressed if it is."""
    opened = igzip.open(path) if path.name.endswith(".gz") else path.open("rb")
    return cast("BinaryIO", opened)


def open_result(path: Path) -> ResultImage:
    """Open an image and what stands beside it.

    Args:
        path: a NIfTI file, `.nii` or `.nii.gz`.

    Raises:
        ResultError: `unreadable-image` or `wrong-dimensions`.
    """
    stem = next((path.name.removesuffix(end) for end in ENDINGS if path.name.endswith(end)), None)
    if stem is None:
        raise _unreadable(path, "its name does not end in .nii.gz or .nii")
    try:
        image = nib.load(path)
        affine = np.asarray(image.affine, np.float64)
        shape = tuple(int(size) for size in image.shape)
    except _UNREADABLE as error:
        there = path.is_file()
        raise _unreadable(path, "it is no NIfTI" if there else "there is no such file") from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise _unreadable(path, "it is no NIfTI")
    while len(shape) > _DIMENSIONS and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == _DIMENSIONS - 1:
        shape = (*shape, 1)
    if len(shape) != _DIMENSIONS or min(shape) < 1:
        raise ResultError(
            Refusal.WRONG_DIMENSIONS,
            f"The image has the shape {shape}; a result has three dimensions. Give one image for "
            "each time.",
        )
    if not np.isfinite(affine).all():
        raise _unreadable(path, "its affine has numbers that are not finite")
    i, j, k = shape
    return ResultImage(
        path,
        affine,
        (i, j, k),
        beside(path.with_name(stem + ".json")),
        beside(path.with_name(stem + MANIFEST)),
        image,
    )


def beside(path: Path) -> Mapping[str, Any]:
    """Return what a JSON file says; nothing if it is not there, or is no object.

    Raises:
        ResultError: `unreadable-image`, if it is no JSON.
    """
    if not path.is_file():
        return {}
    found = read_json(path, Refusal.UNREADABLE_IMAGE)
    return found if isinstance(found, dict) else {}


def read_json(path: Path, refusal: Refusal) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        refusal: the name under which it is refused.

    Raises:
        ResultError: it is not there, too large, or no JSON.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ResultError(refusal, f"{path} has more than {LARGEST_JSON >> 20} MiB.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ResultError(refusal, f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(refusal, f"{path} is no JSON.") from error


def _unreadable(path: Path, what: str) -> ResultError:
    return ResultError(Refusal.UNREADABLE_IMAGE, f"{path} cannot be used: {what}.")
