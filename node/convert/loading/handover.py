"""Volumes for other libraries: SimpleITK, torch and MONAI, none of which rasnode needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from node.assemble.pixels.stored_values import RGB
from node.assemble.space import Matrix, voxel_sizes

Array = npt.NDArray[Any]
_SPACE: Final = "RAS"
"""MONAI's name for the world of NIfTI affines."""


def to_sitk(array: Array, lps: Matrix) -> Any:
    """Make a SimpleITK image.

    Args:
        array: (i, j, k) or (i, j, k, t) values, or RGB.
        lps: (4, 4) voxel -> LPS mm.

    Returns:
        SimpleITK.Image of 3 or 4 dimensions, of vectors for RGB.

    Raises:
        ImportError: SimpleITK is not installed.
    """
    sitk: Any = _needed("SimpleITK", "sitk")
    colour = array.dtype == RGB
    values = _channels(array) if colour else array
    axes = (*reversed(range(array.ndim)), array.ndim) if colour else None
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(axes)), isVector=colour)
    sizes = np.array(voxel_sizes(lps))
    dimensions = image.GetDimension()
    direction = np.eye(dimensions)
    direction[:3, :3] = lps[:3, :3] / sizes
    further = [1.0] * (dimensions - 3)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing([*sizes.tolist(), *further])
    image.SetOrigin([*lps[:3, 3].tolist(), *(0.0 for _ in further)])
    return image


def to_tensor(array: Array, affine: Matrix) -> Any:
    """Make a torch tensor with its channels first.

    Args:
        array: (i, j, k) or (i, j, k, t) values, or RGB.
        affine: (4, 4) voxel -> RAS mm.

    Returns:
        float32 (1, i, j, k), (t, i, j, k) or (3, i, j, k); a MetaTensor where MONAI is installed.

    Raises:
        ImportError: torch is not installed.
    """
    return as_tensor(channels_first(array), affine)


def channels_first(array: Array) -> npt.NDArray[np.float32]:
    """Return float32 (1, i, j, k), (t, i, j, k) or, of RGB, (3, i, j, k), C-contiguous.

    Args:
        array: (i, j, k) or (i, j, k, t) values, or RGB.
    """
    if array.dtype == RGB:
        values = np.moveaxis(_channels(array).reshape((*array.shape[:3], -1)), -1, 0)
    else:
        values = np.moveaxis(array, 3, 0) if array.ndim > 3 else array[np.newaxis]
    return np.ascontiguousarray(values, np.float32)


def as_tensor(values: npt.NDArray[np.float32], affine: Matrix) -> Any:
    """Return a tensor that shares the memory of an array.

    Args:
        values: (channel, i, j, k), writable.
        affine: (4, 4) voxel -> RAS mm.

    Returns:
        the tensor; a MetaTensor where MONAI is installed.

    Raises:
        ImportError: torch is not installed.
    """
    torch: Any = _needed("torch", "torch")
    tensor = torch.from_numpy(values)
    try:
        monai: Any = import_module("monai.data")
    except ImportError:
        return tensor
    return monai.MetaTensor(tensor, affine=torch.from_numpy(affine.copy()), meta={"space": _SPACE})


def _channels(array: Array) -> Array:
    """Return RGB voxels with an axis of three bytes at the end."""
    return np.ascontiguousarray(array).view(np.uint8).reshape((*array.shape, 3))


def _needed(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{module} is not installed: pip install "rasnode[{extra}]"', name=module
        ) from error
