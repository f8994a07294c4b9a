"""Siemens' diffusion weighting: b-values and directions, and images made of several of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from node.assemble.frames.classic import unit_vector
from node.assemble.frames.model import FrameHeader, Vector
from node.assemble.vendors.siemens.private import Private

_MADE: Final = {"ADC": "ADC", "FA": "FA", "TRACEW": "trace", "EXP": "exponential"}
"""Value of Image Type -> what an image was computed to be; a tensor's images are named alike."""
_TENSOR: Final = frozenset({"TENSOR", "TENSOR_B0", "COLFA", "RGB_FA"})
_DIFFUSION: Final = "DIFFUSION"
_ISOTROPIC: Final = "ISOTROPIC"
_LARGEST_B: Final = 1e6
"""s/mm²; larger values are damage."""


def weighting(private: Private, frame: FrameHeader) -> dict[str, object]:
    """Return b-value, direction and b-matrix of one image, and whether it was computed.

    B_value is the prescribed one; DiffusionGradientDirection is in the patient's frame (LPS). The
    standard's attributes count if the private ones are absent. The trace of a b-matrix is the
    b-value, and the axis of its largest eigenvalue is the direction.

    Args:
        private: the private values of the image.
        frame: the image by its standard attributes.

    Returns:
        fields of `FrameHeader`: `b_value`, s/mm², `gradient`, unit vector in LPS, `b_matrix`,
        s/mm² in LPS, and `derived` for a computed image.
    """
    b_value, gradient = frame.b_value, frame.gradient
    stated = private.number("B_value")
    matrix = _matrix(private)
    if stated is not None and 0 <= stated < _LARGEST_B:
        b_value = stated
        gradient = unit_vector(private.numbers("DiffusionGradientDirection")) or gradient
    if matrix:
        own_value, own_gradient = _of_matrix(matrix)
        b_value = own_value if b_value is None else b_value
        gradient = gradient or (own_gradient if b_value else None)
    if b_value == 0:
        gradient = None
    found: dict[str, object] = {
        "b_value": b_value,
        "gradient": gradient,
        "b_matrix": matrix or frame.b_matrix,
    }
    made = _made(private, frame, b_value, gradient)
    if made:
        found["derived"] = made
    return found


def _matrix(private: Private) -> tuple[float, ...]:
    """Return the b-matrix; empty if it is absent or damaged."""
    matrix = private.numbers("B_matrix")
    return matrix if len(matrix) == 6 and max(map(abs, matrix)) < _LARGEST_B else ()


def _of_matrix(matrix: tuple[float, ...]) -> tuple[float, Vector | None]:
    """Return trace and main axis of a b-matrix xx, xy, xz, yy, yz, zz; s/mm², LPS."""
    xx, xy, xz, yy, yz, zz = matrix
    values, axes = np.linalg.eigh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    main = axes[:, int(np.argmax(values))]
    return float(round(xx + yy + zz)), unit_vector(tuple(main.tolist()))


def _made(
    private: Private, frame: FrameHeader, b_value: float | None, gradient: Vector | None
) -> str:
    """Return what an image was computed to be; empty for a measured one."""
    if _DIFFUSION in frame.image_type:
        for part in frame.image_type:
            if part in _MADE:
                return _MADE[part]
            if part in _TENSOR:
                return "tensor"
    isotropic = private.text("DiffusionDirectionality") == _ISOTROPIC
    return "trace" if isotropic and b_value and gradient is None else ""
