"""Write the files of one volume: NIfTI, JSON and notes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from node.assemble.pixels.stored_values import Image
from node.assemble.volumes.layers import MOST_COMPRESSED_BYTES, Block, CompressedLayer
from node.assemble.volumes.nifti import data_view, header_bytes
from node.convert.gzip_blocks import side_by_side, stream
from node.core.system.disk import start_writing

THREADS: Final = 2
"""Threads that compress; more than two wait for the disk and for the hash."""
EARLY_BYTES: Final = 8 << 20
"""Bytes after which writing to the disk is started."""


class OutputOptions(msgspec.Struct, frozen=True):
    """Which files are written and what they hold.

    Attributes:
        compress: .nii.gz instead of .nii.
        level: of isal's gzip, 0 to 3.
        sidecar, preview, manifest: whether these are written.
        image: whether the NIfTI is written.
        identifiers: names, dates and machines in the sidecar.
        dates: dates in the sidecar, even without other identifiers.
        precise: Philips' precise scale instead of the one for display.
        resample_tilt: resample the sheared grid of a tilted gantry to right angles.
        resample_unequal: interpolate slices at unequal steps instead of refusing them.
        merge: put images that differ in kind (echoes, phases) into one volume.
        notes: a text file with all fields of the sidecar, including identifiers.
        comment: text for the NIfTI header.
        flat: whether volumes of a single slice are written.
        trigger_times: whether Trigger Time and Cardiac Trigger Delay Time are used.
        quality: whether motion, tSNR and spikes of 4D MR are measured.
    """

    compress: bool = True
    level: int = 1
    image: bool = True
    sidecar: bool = True
    preview: bool = True
    manifest: bool = True
    identifiers: bool = False
    precise: bool = True
    comment: str = ""
    merge: bool = False
    notes: bool = False
    resample_tilt: bool = False
    resample_unequal: bool = False
    dates: bool = False
    flat: bool = True
    trigger_times: bool = True
    quality: bool = False


def write_image(
    path: Path,
    header: Any,
    blocks: Iterable[Image | CompressedLayer],
    options: OutputOptions,
    threads: int = THREADS,
) -> str:
    """Write a NIfTI file, whose bytes do not depend on the number of threads.

    Args:
        path: the file.
        header: from `node.assemble.volumes.nifti.make_header`.
        blocks: the voxels in the order of the file, each block Fortran-contiguous; in a compressed
            file also layers that are compressed already, with the same level.
        options: compression.
        threads: number of threads that compress.

    Returns:
        sha256 of the file, hexadecimal.
    """
    head = memoryview(header_bytes(header))
    parts: Iterable[bytes | memoryview]
    if options.compress:
        raws = chain([head], chain.from_iterable(map(_raw, blocks)))
        parts = stream(side_by_side(raws, options.level, threads))
    else:
        parts = chain([head], map(_plain, blocks))
    digest = hashlib.sha256()
    begun = size = 0
    with path.open("wb") as file:
        for part in parts:
            digest.update(part)
            file.write(part)
            size += len(part)
            if size - begun > EARLY_BYTES:  # shortens the sync at the end
                file.flush()
                start_writing(file.fileno(), begun, size - begun)
                begun = size
    return digest.hexdigest()


def _raw(block: Image | CompressedLayer) -> Iterator[memoryview | Block]:
    """Yield the parts of a block that are compressed together."""
    if isinstance(block, CompressedLayer):
        yield block.block
        return
    view = data_view(block)
    for start in range(0, len(view), MOST_COMPRESSED_BYTES):
        yield view[start : start + MOST_COMPRESSED_BYTES]


def _plain(block: Image | CompressedLayer) -> memoryview:
    if isinstance(block, CompressedLayer):
        raise TypeError("a compressed layer belongs into a compressed file")
    return data_view(block)


def write_notes(path: Path, fields: Mapping[str, object]) -> None:
    """Write fields as text, one line for each.

    Args:
        path: the file.
        fields: names and values.
    """
    lines = (f"{name}: {value}".replace("\n", " ") for name, value in fields.items())
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_json(path: Path, fields: Mapping[str, object]) -> None:
    """Write fields as indented JSON, in their order.

    Args:
        path: the file.
        fields: names and values.
    """
    path.write_bytes(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")
