"""Lossy JPEG of 12 bits (PS3.5 A.4.2, ITU-T T.81 process 4), which pydicom does not decode."""

from __future__ import annotations

from typing import Final

import numpy as np

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.compressed_headers import Image, Stream
from node.core.errors import AssemblyError, Reason

_SYNTAX: Final = "1.2.840.10008.1.2.4.51"


def twelve_bits(frame: bytes, pixels: PixelFormat, stream: Stream) -> Image:
    """Decode the samples of one frame, which are unsigned.

    gdcm aborts the process on some damaged streams.

    Args:
        frame: compressed.
        pixels: the size of the image, which a stream need not state at its beginning.
        stream: the number of bits of its samples.

    Returns:
        (rows, columns) uint16.

    Raises:
        AssemblyError: the frame cannot be decompressed.
    """
    import gdcm  # noqa: PLC0415 - takes time and memory, and most processes never need it

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((pixels.columns, pixels.rows, 1))
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    syntax = gdcm.TransferSyntax.GetTSType(_SYNTAX)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, stream.bits, stream.bits - 1, 0))
    image.SetDataElement(element)
    try:
        raw = image.GetBuffer().encode("utf-8", "surrogateescape")
    except (RuntimeError, ValueError, TypeError) as error:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            f"The pixel data cannot be decompressed ({error}). Send the instance again from its "
            "original source.",
        ) from error
    if len(raw) != 2 * pixels.rows * pixels.columns:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            "The pixel data cannot be decompressed, as the compressed stream is damaged. Send the "
            "instance again from its original source.",
        )
    return np.frombuffer(raw, "<u2").reshape(pixels.rows, pixels.columns)
