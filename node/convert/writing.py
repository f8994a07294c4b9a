"""The files of one volume."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import msgspec
from isal import igzip_threaded

from node.assemble.nifti import data_view, header_bytes

CHUNK_BYTES: Final = 1 << 20
"""What is compressed at a time."""
THREADS: Final = 2
"""That compress; more than two wait for the disk and for the hash."""


class OutputOptions(msgspec.Struct, frozen=True):
    """Which files are written and what they hold.

    Attributes:
        compress: .nii.gz instead of .nii.
        level: of isal's gzip, 0 to 3.
        sidecar, preview, manifest: whether these are written.
        image: whether the NIfTI itself is.
        identifiers: names, dates and machines in the sidecar.
        precise: Philips' precise scale rather than the one for display.
        resample_tilt: bring the sheared grid of a tilted gantry to right angles.
        resample_unequal: interpolate slices at unequal steps instead of refusing them.
        merge: put what differs in kind (echoes, phases) into one image all the same.
        notes: a text file with everything the sidecar could hold, identifiers too.
        comment: text for the NIfTI header.
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


class Hashing:
    """A file that is hashed while it is written.

    Args:
        file: where the bytes go.
    """

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def hexdigest(self) -> str:
        """Return the digest of all that was written."""
        return self._digest.hexdigest()


def write_image(
    path: Path, header: Any, array: Any, options: OutputOptions, threads: int = THREADS
) -> str:
    """Write a NIfTI file, the same bytes for the same image, however many threads compress it.

    Returns:
        the sha256 of the file.
    """
    head, data = header_bytes(header), data_view(array)
    with path.open("wb") as file:
        hashing = Hashing(file)
        if options.compress:
            stream: Any = igzip_threaded.open(
                hashing, "wb", options.level, threads=threads, block_size=CHUNK_BYTES
            )
        else:
            stream = hashing
        stream.write(head)
        for start in range(0, len(data), CHUNK_BYTES):
            stream.write(data[start : start + CHUNK_BYTES])
        if options.compress:
            stream.close()
    return hashing.hexdigest()


def write_notes(path: Path, fields: Mapping[str, object]) -> None:
    """Write fields as text, a line for each."""
    lines = (f"{name}: {value}".replace("\n", " ") for name, value in fields.items())
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_json(path: Path, fields: Mapping[str, object]) -> None:
    """Write fields as indented JSON, in the order they have."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")
