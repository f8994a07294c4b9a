"""The codec libraries: which decodes which transfer syntax, how it is called, memory it takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from struct import error as StructError  # noqa: N812 - an exception, and it reads as one
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from node.assemble.frames.model import PixelFormat
from node.core.errors import AssemblyError, Reason
from node.dicom import Buffer

Image = npt.NDArray[Any]

STRIP_BYTES: Final = 4 << 20
"""Bytes of a large frame that are worked on at a time."""
ENDED: Final = frozenset(
    {JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless}
)
"""Transfer syntaxes whose streams end with a marker. Without it one codec aborts the process and
another reads on for seconds."""
_PLUGINS: Final[dict[str, str]] = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "gdcm",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    RLELossless: "pylibjpeg",
}
"""One codec for each, as pydicom would try them all. gdcm aborts the process on damaged JPEG 2000
and JPEG-LS, so it decodes only the JPEG that no other codec reads."""
_CODEC_ERRORS: Final = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    OSError,
    EOFError,
    StructError,
)
"""Exceptions that codecs raise on damaged or foreign streams."""
_PANIC: Final = "PanicException"
"""Exception of the RLE codec, which is written in Rust. No module exports it, and it does not
derive from Exception."""
_KEYWORDS: Final = {"float": "FloatPixelData", "double": "DoubleFloatPixelData"}
_BYTE: Final = 8
_YBR: Final = frozenset({"YBR_FULL", "YBR_FULL_422"})
_TIMES: Final[dict[str, int]] = {"gdcm": 8, "pillow": 3, "pyjpegls": 3}
"""Memory of codec and result, as a multiple of the frame's values."""
_WAVELET_BYTES: Final = 8
"""Bytes per sample in JPEG 2000: four, and four of its tile, however few bits it has."""


def decoding_bytes(pixels: PixelFormat, transfer_syntax_uid: str, compressed: int) -> int:
    """Return the largest number of bytes of memory that decoding a frame takes.

    Args:
        pixels: the format of the decompressed values.
        transfer_syntax_uid: chooses the codec.
        compressed: bytes of the compressed frame.
    """
    samples = pixels.rows * pixels.columns * pixels.samples
    values = samples * max(1, pixels.bits_allocated // _BYTE)
    if transfer_syntax_uid in JPEG2000TransferSyntaxes:
        return _WAVELET_BYTES * samples + 2 * values + 4 * compressed
    times = _TIMES.get(_PLUGINS.get(transfer_syntax_uid, ""), 3)
    return times * values + 4 * compressed


def strips(rows: int, row_bytes: int) -> Iterator[slice]:
    """Yield the rows of a frame that are worked on at a time; all rows of a small frame.

    Args:
        rows: number of rows of the frame.
        row_bytes: bytes of one row.
    """
    step = max(2, STRIP_BYTES // max(1, row_bytes) // 2 * 2)  # even, as words may be swapped
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def runs(frame: bytes, pixels: PixelFormat) -> Image:
    """Decode the grey values of a frame in RLE (PS3.5 Annex G).

    Args:
        frame: compressed.
        pixels: the format of the decompressed values.

    Returns:
        (rows, columns).

    Raises:
        AssemblyError: the frame is damaged.
    """
    from rle.utils import decode_pixel_data  # noqa: PLC0415 - pydicom loads it when it is needed

    with _guarded():
        raw = decode_pixel_data(
            frame,
            version=2,
            rows=pixels.rows,
            columns=pixels.columns,
            bits_allocated=pixels.bits_allocated,
        )
        return _shaped(raw, pixels, pixels.bits_allocated)


def wavelets(frame: bytes, pixels: PixelFormat) -> Image:
    """Decode the grey values of a frame in JPEG 2000, with the sign that the stream states.

    Args:
        frame: compressed.
        pixels: the format, with bits and sign of the stream.

    Returns:
        (rows, columns).

    Raises:
        AssemblyError: the frame is damaged.
    """
    from openjpeg.utils import decode_pixel_data  # noqa: PLC0415 - as above

    with _guarded():
        raw = decode_pixel_data(frame, version=2)
        return _shaped(raw, pixels, min(8 << (pixels.bits_stored - 1) // 8, 32))


def decoded(frame: bytes, pixels: PixelFormat, syntax: str) -> Image:
    """Decode one compressed frame by pydicom; colour becomes RGB.

    Args:
        frame: compressed.
        pixels: the format of the decompressed values.
        syntax: Transfer Syntax UID.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.

    Raises:
        AssemblyError: the frame is damaged.
    """
    image, photometric = _as_array(encapsulate([frame], has_bot=False), pixels, syntax, "OB")
    if pixels.samples == 3 and photometric in _YBR:
        for rows in strips(pixels.rows, pixels.columns * pixels.samples):
            image[rows] = convert_color_space(image[rows], "YBR_FULL", "RGB")
    return image


def native_colour(raw: Buffer, pixels: PixelFormat, *, little: bool) -> Image:
    """Return an uncompressed colour frame as RGB, converted some rows at a time.

    Args:
        raw: the bytes of the frame.
        pixels: their format.
        little: the byte order is little endian.

    Returns:
        (rows, columns, 3) uint8.
    """
    syntax = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    vr = "OW" if pixels.swapped else "OB"
    halved = pixels.photometric == "YBR_FULL_422"
    line = pixels.columns * (2 if halved else 1 if pixels.planar else pixels.samples)
    image = np.empty((pixels.rows, pixels.columns, pixels.samples), np.uint8)
    plane = pixels.rows * pixels.columns
    starts = range(0, plane * pixels.samples, plane) if pixels.planar and not halved else (0,)
    view = memoryview(raw)
    for rows in strips(pixels.rows, pixels.columns * pixels.samples):
        parts = [view[start + rows.start * line : start + rows.stop * line] for start in starts]
        part = msgspec.structs.replace(pixels, rows=rows.stop - rows.start)
        image[rows], photometric = _as_array(b"".join(parts), part, syntax, vr)
        if photometric in _YBR:
            image[rows] = convert_color_space(image[rows], "YBR_FULL", "RGB")
    return image


def _as_array(raw: bytes, pixels: PixelFormat, syntax: str, vr: str) -> tuple[Image, str]:
    """Return the values that pydicom reads, and their colour space."""
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": pixels.samples,
        "number_of_frames": 1,
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_allocated if syntax == RLELossless else pixels.bits_stored,
        "photometric_interpretation": pixels.photometric,
        "pixel_keyword": _KEYWORDS.get(pixels.kind, "PixelData"),
        "pixel_representation": int(pixels.signed),
        "planar_configuration": pixels.planar,
        "pixel_vr": vr,
    }
    with _guarded():
        array, properties = get_decoder(UID(syntax)).as_array(
            raw, index=0, raw=True, decoding_plugin=_PLUGINS.get(syntax, ""), **options
        )
    return np.asarray(array), str(properties["photometric_interpretation"])


def _shaped(raw: Any, pixels: PixelFormat, bits: int) -> Image:
    dtype = np.dtype(f"<{'i' if pixels.signed else 'u'}{bits // _BYTE}")
    return np.frombuffer(raw, dtype).reshape(pixels.rows, pixels.columns)


@contextmanager
def _guarded() -> Iterator[None]:
    """Turn the exceptions of codecs into refusals, except lack of memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError:
        raise
    except BaseException as error:
        if not isinstance(error, _CODEC_ERRORS) and type(error).__name__ != _PANIC:
            raise
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            f"The pixel data cannot be decompressed ({error}). Send the instance again from its "
            "original source.",
        ) from error
