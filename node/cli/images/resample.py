"""`resample`: an image on the grid of another one, or on a grid with other voxel sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import typer

from node.assemble.resampling import resample as sample
from node.assemble.space import Array, Matrix, respaced_grid
from node.assemble.volumes.nifti import image_of, make_header
from node.cli.images.nifti_files import Written, open_image, stem_of
from node.cli.output.terminal import say
from node.core.errors import AssemblyError, ConfigError, Reason

ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
GRID_DIMENSIONS = 3


def resample(
    moving: Annotated[Path, typer.Argument(metavar="MOVING", help="The NIfTI file to resample.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The NIfTI file to write.")],
    like: Annotated[
        Path | None, typer.Option("--like", metavar="FIXED", help="A NIfTI file: use its grid.")
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option("--spacing", metavar="MM[,MM,MM]", help="Use a grid with these voxel sizes."),
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(
            "--interpolation", help="nearest, linear or cubic; default: linear, for labels nearest."
        ),
    ] = None,
    outside: Annotated[
        float | None,
        typer.Option(
            "--outside",
            help="Value of voxels outside MOVING; default: 0, or the minimum if it is negative.",
        ),
    ] = None,
    any_frame: Annotated[
        bool,
        typer.Option(
            "--any-frame-of-reference", help="Allow images with different frames of reference."
        ),
    ] = False,
) -> None:
    """Resample a NIfTI image to another grid.

    The grid is that of another image (--like) or has other voxel sizes (--spacing).
    """
    if (like is None) == (spacing is None):
        raise ConfigError("use either --like FIXED or --spacing MM[,MM,MM]")
    stem = stem_of(out)
    written = open_image(moving)
    affine, shape = _grid(written, like, spacing, any_frame=any_frame)
    data = np.asanyarray(written.image.dataobj)
    if data.dtype.names is not None:
        raise AssemblyError(Reason.UNSUPPORTED_PIXELS, "Colour images cannot be resampled.")
    order = _order(interpolation, written)
    fill = min(float(data.min()), 0.0) if outside is None else outside
    sampled = sample(data, written.image.affine, affine, shape, order=order, outside=fill)
    _write(sampled, affine, written, out)
    note = {"ResampledFrom": moving.name, "Interpolation": _name(order)}
    beside = json.dumps(written.sidecar | note, indent=2) + "\n"
    out.with_name(stem + ".json").write_text(beside, "utf-8")
    say(f"{out}  " + "x".join(map(str, sampled.shape)))


def _grid(
    written: Written, like: Path | None, spacing: str | None, *, any_frame: bool
) -> tuple[Matrix, tuple[int, int, int]]:
    if like is not None:
        fixed = open_image(like)
        _same_space(written, fixed, any_frame=any_frame)
        i, j, k = fixed.image.shape[:GRID_DIMENSIONS]
        return np.asarray(fixed.image.affine, np.float64), (i, j, k)
    i, j, k = written.image.shape[:GRID_DIMENSIONS]
    affine = np.asarray(written.image.affine, np.float64)
    return respaced_grid(affine, (i, j, k), _sizes(spacing or ""), written.slice_axis)


def _same_space(moving: Written, fixed: Written, *, any_frame: bool) -> None:
    """Refuse images whose coordinates do not have the same origin (PS3.3 C.7.4.1)."""
    ours, theirs = moving.frame_of_reference, fixed.frame_of_reference
    if any_frame or not ours or not theirs or ours == theirs:
        return
    raise AssemblyError(
        Reason.FRAME_OF_REFERENCE,
        f"The images have different frames of reference, {ours} and {theirs}: the same coordinates "
        "may be different places. --any-frame-of-reference resamples all the same.",
    )


def _sizes(text: str) -> tuple[float, float, float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in {1, GRID_DIMENSIONS} or not all(0 < value < 1e4 for value in values):
        raise ConfigError(f"--spacing takes one or three sizes in mm, not {text!r}")
    i, j, k = values * (GRID_DIMENSIONS // len(values))
    return i, j, k


def _order(interpolation: str | None, written: Written) -> int:
    name = interpolation or ("nearest" if "Labels" in written.sidecar else "linear")
    if name not in ORDERS:
        raise ConfigError(f"--interpolation takes {', '.join(ORDERS)}, not {name!r}")
    return ORDERS[name]


def _name(order: int) -> str:
    return next(name for name, value in ORDERS.items() if value == order)


def _write(sampled: Array, affine: Matrix, written: Written, out: Path) -> None:
    """Write the image; integers stay what they were, scaled values become float32."""
    if sampled.dtype == np.float64 and written.image.get_data_dtype() != np.float64:
        sampled = sampled.astype(np.float32)
    step = float(written.image.header["pixdim"][4]) if sampled.ndim > GRID_DIMENSIONS else None
    header = make_header(
        sampled.shape, sampled.dtype, affine, repetition_time=step, description="rasnode resample"
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image_of(sampled, header), out)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror or error}") from error
