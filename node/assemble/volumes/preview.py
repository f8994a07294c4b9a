"""The preview of a volume: its three middle planes, in radiological orientation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from node.assemble.pixels.stored_values import RGB, Image
from node.assemble.space import Matrix, voxel_sizes
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.volumes.layers import CompressedLayer

PANEL_PIXELS: Final = 256
"""The longest side of the volume, in mm, is drawn with this many pixels."""
MARGIN: Final = 4
LETTER_PIXELS: Final = 14
PERCENTILES: Final = (1.0, 99.0)
"""Percentiles of the values that are drawn black and white where no window is known."""
COMPRESSION: Final = 3
"""zlib level; level 6 takes twice as long and saves a twentieth."""
SOFT_TISSUE: Final = (-160.0, 240.0)
"""Hounsfield units that are drawn black and white if a CT states no window."""
SAMPLES: Final = 100_000
"""Largest number of values from which percentiles are computed."""
LETTER_COLOUR: Final = (255, 220, 0)
LETTER_SHADES: Final = 15
"""Palette entries from black to that colour; all other entries are greys."""
MOST_PIXELS: Final = 4 * PANEL_PIXELS
"""Pixels along the longest side of a plane before it is scaled to a panel; planes of less than
twice as many are not reduced."""
STRIP_PIXELS: Final = 1 << 20
"""Pixels of a plane that are shaded at a time."""
_MOST: Final = 255 - LETTER_SHADES
"""Palette index of white."""
_PALETTE: Final = [
    *(round(number * 255 / _MOST) for number in range(_MOST + 1) for _ in range(3)),
    *(
        part * shade // LETTER_SHADES
        for shade in range(1, LETTER_SHADES + 1)
        for part in LETTER_COLOUR
    ),
]

_PLANES: Final = (
    # plane, axis across, axis down, letters left, right, top, bottom
    ("axial", 0, 1, "RLAP"),
    ("coronal", 0, 2, "RLSI"),
    ("sagittal", 1, 2, "APSI"),
)


def window_of(piece: Piece) -> tuple[float, float] | None:
    """Return the values that are drawn black and white; None to take percentiles.

    A CT has known units and mostly a window (PS3.3 C.11.2). Percentiles of a CT would show table,
    bone and air, and the organs in one grey.
    """
    if piece.header.modality != "CT":
        return None
    if piece.frame.window is None:
        return SOFT_TISSUE
    center, width = piece.frame.window
    return center - width / 2, center + width / 2


class PreviewPlanes:
    """The three planes of one volume that a preview shows.

    Args:
        shape: (i, j, k).
        dtype: type of the voxels.

    Attributes:
        shape: (i, j, k).
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[np.generic]) -> None:
        i, j, k = self.shape = shape
        self._axial: Image | None = None
        self._coronal = np.zeros((i, k), dtype)
        self._sagittal = np.zeros((j, k), dtype)

    @property
    def planes(self) -> tuple[Image, Image, Image]:
        """The middle axial (i, j), coronal (i, k) and sagittal (j, k) plane, RAS order."""
        i, j, _ = self.shape
        axial = np.zeros((i, j), self._coronal.dtype) if self._axial is None else self._axial
        return axial, self._coronal, self._sagittal

    def take(self, start: int, layers: Image) -> None:
        """Copy what the planes show of some layers.

        Args:
            start: index of the first layer on axis k.
            layers: (i, j, n) voxels.
        """
        i, j, k = self.shape
        stop = start + layers.shape[2]
        if start <= k // 2 < stop:
            self._axial = layers[:, :, k // 2 - start]
        self._coronal[:, start:stop] = layers[:, j // 2, :]
        self._sagittal[:, start:stop] = layers[i // 2, :, :]

    def take_compressed(self, k: int, layer: CompressedLayer) -> None:
        """Copy what the planes show of a compressed layer, which is not the middle one.

        Args:
            k: index of the layer.
            layer: the layer.
        """
        self._coronal[:, k], self._sagittal[:, k] = layer.across, layer.down


class PreviewRecorder:
    """Records the planes of a preview while the blocks of a volume are written.

    A preview shows the first time and the middle one.

    Args:
        shape: (i, j, k, t).
        dtype: type of the voxels.
    """

    def __init__(self, shape: tuple[int, int, int, int], dtype: np.dtype[np.generic]) -> None:
        i, j, self._layers, times = shape
        shown = sorted({0, times // 2})
        self._shown = {t: PreviewPlanes((i, j, self._layers), dtype) for t in shown}
        self._passed = 0

    def record(
        self, blocks: Iterable[Image | CompressedLayer]
    ) -> Iterator[Image | CompressedLayer]:
        """Yield the blocks of a volume unchanged, and record what the preview shows of them."""
        for block in blocks:
            self._take(block)
            yield block

    def previews(self) -> list[PreviewPlanes]:
        """Return the planes of each time that the preview shows."""
        return list(self._shown.values())

    def _take(self, block: Image | CompressedLayer) -> None:
        if isinstance(block, CompressedLayer):
            t, k = divmod(self._passed, self._layers)
            if t in self._shown:
                self._shown[t].take_compressed(k, block)
            self._passed += 1
            return
        at = 0
        while at < block.shape[2]:
            t, k = divmod(self._passed, self._layers)
            count = min(block.shape[2] - at, self._layers - k)
            if t in self._shown:
                self._shown[t].take(k, block[:, :, at : at + count])
            at += count
            self._passed += count


def render(
    previews: Sequence[PreviewPlanes], affine: Matrix, window: tuple[float, float] | None = None
) -> bytes:
    """Draw a PNG of the middle axial, coronal and sagittal plane.

    The patient's right is at the left, anterior (sagittal: superior) at the top.

    Args:
        previews: one for each row of the picture, all of one shape.
        affine: (4, 4) voxel -> RAS mm.
        window: the stored values that are drawn black and white; None takes percentiles.

    Returns:
        the PNG file.
    """
    sizes = voxel_sizes(affine)
    extents = [size * count for size, count in zip(sizes, previews[0].shape, strict=True)]
    scale = PANEL_PIXELS / max(extents)
    pixels = [max(1, round(extent * scale)) for extent in extents]
    widths = [pixels[across] for _, across, *_ in _PLANES]
    height = max(pixels[down] for _, _, down, _ in _PLANES)
    coloured = previews[0].planes[0].dtype == RGB
    canvas = Pillow.new(
        "RGB" if coloured else "L",
        (sum(widths) + MARGIN * 4, (height + MARGIN) * len(previews) + MARGIN),
    )
    ink = Pillow.new("L", canvas.size)
    for row, preview in enumerate(previews):
        shades = window if window and not coloured else _spread(preview)
        left = MARGIN
        for (_, across, down, letters), plane in zip(_PLANES, preview.planes, strict=True):
            picture = Pillow.fromarray(_shaded(plane, shades)).resize(
                (pixels[across], pixels[down]), Pillow.Resampling.BILINEAR
            )
            top = MARGIN + row * (height + MARGIN) + (height - pixels[down]) // 2
            canvas.paste(picture, (left, top))
            box = (left, top, pixels[across], pixels[down])
            _letter(canvas, ink, box, letters)
            left += pixels[across] + MARGIN
    stream = BytesIO()
    if coloured:
        canvas.paste(LETTER_COLOUR, mask=ink)
    else:
        canvas = _inked(canvas, ink)
    canvas.save(stream, "PNG", compress_level=COMPRESSION)
    return stream.getvalue()


def _spread(preview: PreviewPlanes) -> tuple[float, float]:
    """Return the percentiles of the values that are shown."""
    planes = preview.planes
    if planes[0].dtype == RGB:
        return 0.0, 255.0
    flat = [one.T.ravel() if one.flags.f_contiguous else one.ravel() for one in planes]
    step = max(1, sum(one.size for one in flat) // SAMPLES)
    values = np.concatenate([one[::step] for one in flat]).astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, PERCENTILES).tolist()
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1.0


def _shaded(plane: Image, window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return (down, across) or (down, across, 3) grey levels or colours of a plane.

    A plane that is much larger than its panel is reduced by a whole factor; each value is then the
    mean of a square.
    """
    plane = plane.T[::-1, ::-1]
    factor = max(1, max(plane.shape) // MOST_PIXELS)
    parts = (3,) if plane.dtype == RGB else ()
    down, across = (max(1, count // factor) for count in plane.shape)
    result = np.empty((down, across, *parts), np.uint8)
    step = max(1, STRIP_PIXELS // (factor * factor * across))
    for start in range(0, down, step):
        rows = slice(start, min(start + step, down))
        shown = plane[rows.start * factor : rows.stop * factor, : across * factor]
        result[rows] = _smaller(_levels(shown, window), factor)
    return result


def _levels(plane: Image, window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return grey levels or colours of a part of a plane."""
    if plane.dtype == RGB:
        colour = np.ascontiguousarray(plane).view(np.uint8)
        return colour.reshape(*plane.shape, 3)
    low, high = window
    grey = (np.nan_to_num(plane.astype(np.float64), nan=low) - low) / (high - low)
    return np.asarray(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8)


def _smaller(levels: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Return the means of squares; an axis that is shorter than a square keeps its length."""
    if factor == 1:
        return levels
    down, across = (min(factor, count) for count in levels.shape[:2])
    squares = levels.reshape(-1, down, levels.shape[1] // across, across, *levels.shape[2:])
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)


def _inked(greys: Pillow.Image, ink: Pillow.Image) -> Pillow.Image:
    """Return greys with letters, 8 bits a pixel: a third of the data of a colour image."""
    letters = np.asarray(ink) // (256 // (LETTER_SHADES + 1))
    shades = (np.asarray(greys, np.uint16) * _MOST + 127) // 255
    numbers = np.where(letters > 0, _MOST + letters, shades)
    picture = Pillow.fromarray(numbers.astype(np.uint8))
    picture.putpalette(_PALETTE)
    return picture


def _letter(
    canvas: Pillow.Image, ink: Pillow.Image, box: tuple[int, int, int, int], letters: str
) -> None:
    """Write the directions at the four edges of a panel, each letter with a black rim."""
    left, top, width, height = box
    places = (
        (left + 2, top + height / 2, "lm"),
        (left + width - 2, top + height / 2, "rm"),
        (left + width / 2, top + 2, "mt"),
        (left + width / 2, top + height - 2, "mb"),
    )
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        rim, body = _drawn(letter, anchor, (x % 1, y % 1))
        across, down = int(x) - LETTER_PIXELS, int(y) - LETTER_PIXELS
        tile = (across, down, across + rim.width, down + rim.height)
        for image in (canvas, ink):
            image.paste(0, tile, rim)
        ink.paste(255, tile, body)


@lru_cache(maxsize=256)
def _drawn(
    letter: str, anchor: str, fraction: tuple[float, float]
) -> tuple[Pillow.Image, Pillow.Image]:
    """Return the coverage of a letter with its rim, and of the letter alone.

    Args:
        letter: one letter.
        anchor: the point, in Pillow's names, that lies at `LETTER_PIXELS` from left and top.
        fraction: fraction of a pixel by which that point lies further right and down.
    """
    font = ImageFont.load_default(LETTER_PIXELS)
    place = (LETTER_PIXELS + fraction[0], LETTER_PIXELS + fraction[1])
    size = (2 * LETTER_PIXELS, 2 * LETTER_PIXELS)
    rim, body = Pillow.new("L", size), Pillow.new("L", size)
    for image, shade in ((rim, 255), (body, 0)):
        draw = ImageDraw.Draw(image)
        draw.text(place, letter, 255, font, anchor, stroke_width=1, stroke_fill=shade)
    return rim, body
