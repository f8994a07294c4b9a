"""Headers of NIfTI-1, and of NIfTI-2 for images with an axis that is too long for NIfTI-1."""

from __future__ import annotations

from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.volumeutils import apply_read_scaling

from node.assemble.pixels.stored_values import Image
from node.assemble.space import Matrix, is_sheared

DATA_OFFSET: Final = 352
DATA_OFFSET_2: Final = 544
LONGEST: Final = 32_767
"""Largest size of an axis in NIfTI-1: a signed number of 16 bits."""
SCANNER: Final = 1
"""NIFTI_XFORM_SCANNER_ANAT: coordinates of the scanner, which DICOM's patient system is."""


def make_header(
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    affine: Matrix,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    repetition_time: float | None = None,
    description: str = "",
    comment: str = "",
) -> nib.Nifti1Header | nib.Nifti2Header:
    """Make the header of an image: NIfTI-1, or NIfTI-2 where an axis is too long for it.

    The sform holds the affine exactly. A quaternion cannot hold shear, so that a sheared image
    has no qform rather than a wrong one.

    Args:
        shape: (i, j, k) or (i, j, k, t), RAS order.
        dtype: of the voxels.
        affine: (4, 4) voxel -> RAS mm.
        slope, intercept: value = slope·stored + intercept.
        repetition_time: s, for pixdim[4]; None writes 0, which means unknown.
        description: for descrip; at most 79 ASCII characters are written.
        comment: for aux_file, as dcm2niix does; at most 23 ASCII characters are written.
    """
    header = nib.Nifti2Header() if max(shape) > LONGEST else nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_qform(affine, SCANNER, strip_shears=True)
    if is_sheared(affine):
        header["qform_code"] = 0
    header.set_sform(affine, SCANNER)
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(slope, intercept)
    header["pixdim"][4] = repetition_time or 0.0
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header["aux_file"] = comment.encode("ascii", "replace")[:23]
    return header


def header_bytes(header: nib.Nifti1Header | nib.Nifti2Header) -> bytes:
    """Return the bytes that precede the data in a single .nii file."""
    single: Any = header.copy()
    second = _is_second(header)
    offset = DATA_OFFSET_2 if second else DATA_OFFSET
    single["magic"] = b"n+2" if second else b"n+1"
    single["vox_offset"] = offset
    block: bytes = single.binaryblock
    return block + b"\0" * (offset - len(block))


def image_of(
    array: Image, header: nib.Nifti1Header | nib.Nifti2Header
) -> nib.Nifti1Image | nib.Nifti2Image:
    """Return an image in memory, in the NIfTI version of its header.

    Args:
        array: (i, j, k) or (i, j, k, t), RAS order.
        header: from `make_header`; holds the affine.
    """
    kind = nib.Nifti2Image if _is_second(header) else nib.Nifti1Image
    return kind(array, header.get_best_affine(), header)


def _is_second(header: nib.Nifti1Header | nib.Nifti2Header) -> bool:
    return isinstance(header, nib.Nifti2Header)


class _Scaled:
    """An image with scaled values that is saved with its stored values and scale.

    nibabel would choose another scale when it saves, and round every value again.
    """

    _stored: Image
    _scale: tuple[float, float]
    header: Any
    file_map: Any

    def to_file_map(self, file_map: Any = None, dtype: Any = None) -> None:
        """Write stored values and scale unchanged; with `dtype`, write in that type."""
        if dtype is not None:
            super().to_file_map(file_map, dtype)  # type: ignore[misc]
            return
        exact = image_of(self._stored, self.header)
        exact.header.set_slope_inter(*self._scale)
        exact.to_file_map(self.file_map if file_map is None else file_map)


class ScaledImage(_Scaled, nib.Nifti1Image):  # type: ignore[misc]
    """Such an image in NIfTI-1."""


class ScaledImage2(_Scaled, nib.Nifti2Image):  # type: ignore[misc]
    """Such an image in NIfTI-2."""


def scaled_image(
    stored: Image, header: nib.Nifti1Header | nib.Nifti2Header
) -> nib.Nifti1Image | nib.Nifti2Image:
    """Return an image in memory with the values that nibabel would read from its file.

    Args:
        stored: (i, j, k) or (i, j, k, t), RAS order, before scaling.
        header: from `make_header`.
    """
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope == 1.0 and intercept == 0.0):
        return image_of(stored, header)
    values = apply_read_scaling(stored, np.asanyarray(slope), np.asanyarray(intercept))
    kind = ScaledImage2 if _is_second(header) else ScaledImage
    image = kind(values, header.get_best_affine(), header)
    image._stored, image._scale = stored, (slope, intercept)
    return image


def data_view(array: Image) -> memoryview:
    """Return the bytes of a Fortran-contiguous array in file order, without copying it."""
    flat = np.ravel(array.T, order="C")
    return flat.view(np.uint8).data
