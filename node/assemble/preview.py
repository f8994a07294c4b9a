"""A picture of a volume: the three middle planes, as a radiologist looks at them."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from node.assemble.pixels import RGB, Image
from node.assemble.stacking import Piece
from node.space import Matrix, voxel_sizes

PANEL_PIXELS: Final = 256
"""The longest side of the volume, in mm, becomes so many pixels."""
MARGIN: Final = 4
LETTER_PIXELS: Final = 14
PERCENTILES: Final = (1.0, 99.0)
"""Of the values, which become black and white where nothing better is known."""
COMPRESSION: Final = 3
"""Of zlib: 6 takes twice as long for a twentieth less."""
SOFT_TISSUE: Final = (-160.0, 240.0)
"""Hounsfield units that become black and white where a CT does not say it."""
SAMPLES: Final = 100_000
"""Values that the percentiles are taken from at most."""

_PLANES: Final = (
    # plane, axis across, axis down, axis looked along, letters left, right, top, bottom
    ("axial", 0, 1, 2, "RLAP"),
    ("coronal", 0, 2, 1, "RLSI"),
    ("sagittal", 1, 2, 0, "APSI"),
)


def window_of(piece: Piece) -> tuple[float, float] | None:
    """Return the values that should be black and white, None where only their spread can tell.

    A CT has its units, and mostly its window (PS3.3 C.11.2); percentiles of all of it would show
    table, bone and air, and the organs in one grey.
    """
    if piece.header.modality != "CT":
        return None
    if piece.frame.window is None:
        return SOFT_TISSUE
    center, width = piece.frame.window
    return center - width / 2, center + width / 2


def render(array: Image, affine: Matrix, window: tuple[float, float] | None = None) -> bytes:
    """Draw a PNG of the middle axial, coronal and sagittal plane.

    The patient's right is at the left, anterior (sagittal: superior) at the top. A series of
    volumes gets a second row for its middle volume.

    Args:
        array: (i, j, k, t) in RAS order.
        affine: (4, 4) voxel -> RAS mm.
        window: the stored values that become black and white; by default percentiles.
    """
    times = array.shape[3]
    shown = [array[..., 0]] + ([array[..., times // 2]] if times > 1 else [])
    sizes = voxel_sizes(affine)
    extents = [size * count for size, count in zip(sizes, array.shape, strict=False)]
    scale = PANEL_PIXELS / max(extents)
    pixels = [max(1, round(extent * scale)) for extent in extents]
    widths = [pixels[across] for _, across, *_ in _PLANES]
    height = max(pixels[down] for _, _, down, *_ in _PLANES)
    canvas = Pillow.new(
        "RGB",
        (sum(widths) + MARGIN * 4, (height + MARGIN) * len(shown) + MARGIN),
    )
    font = ImageFont.load_default(LETTER_PIXELS)
    for row, volume in enumerate(shown):
        shades = window if window and volume.dtype != RGB else _spread(volume)
        left = MARGIN
        for (_, across, down, along, letters), width in zip(_PLANES, widths, strict=True):
            plane = _plane(volume, along, shades)
            picture = Pillow.fromarray(plane).resize(
                (pixels[across], pixels[down]), Pillow.Resampling.BILINEAR
            )
            top = MARGIN + row * (height + MARGIN) + (height - pixels[down]) // 2
            canvas.paste(picture, (left, top))
            _letter(canvas, font, (left, top, width, pixels[down]), letters)
            left += width + MARGIN
    stream = BytesIO()
    canvas.save(stream, "PNG", compress_level=COMPRESSION)
    return stream.getvalue()


def _spread(volume: Image) -> tuple[float, float]:
    if volume.dtype == RGB:
        return 0.0, 255.0
    flat = volume.ravel(order="K")
    sample = flat[:: max(1, flat.size // SAMPLES)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = np.percentile(sample, PERCENTILES).tolist()
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    return low, high if high > low else low + 1.0


def _plane(volume: Image, along: int, window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return (down, across) or (down, across, 3) grey levels or colours of a middle plane."""
    middle: list[int | slice] = [slice(None)] * volume.ndim
    middle[along] = volume.shape[along] // 2
    plane = volume[tuple(middle)].T[::-1, ::-1]  # a view; take would copy the volume
    if plane.dtype == RGB:
        colour = np.ascontiguousarray(plane).view(np.uint8)
        return colour.reshape(*plane.shape, 3)
    low, high = window
    grey = (np.nan_to_num(plane.astype(np.float64), nan=low) - low) / (high - low)
    return np.asarray(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8)


def _letter(canvas: Pillow.Image, font: Any, box: tuple[int, int, int, int], letters: str) -> None:
    """Write the directions at the four edges of a panel."""
    left, top, width, height = box
    draw = ImageDraw.Draw(canvas)
    places = (
        (left + 2, top + height / 2, "lm"),
        (left + width - 2, top + height / 2, "rm"),
        (left + width / 2, top + 2, "mt"),
        (left + width / 2, top + height - 2, "mb"),
    )
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        draw.text(
            (x, y), letter, fill=(255, 220, 0), font=font, anchor=anchor,
            stroke_width=1, stroke_fill=(0, 0, 0),
        )  # fmt: skip
