"""DICOM in a ZIP file: unpacked into a folder of its own, which goes when nobody needs it.

No name in the file becomes a path, and what it may become is bounded before anything is unpacked.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
import zipfile
import zlib
from pathlib import Path
from typing import Final

from node.core.errors import AssemblyError, Reason

MOST_FILES: Final = 500_000
MOST_FOLD: Final = 200
"""Times its own size that a ZIP file may become; DICOM files become 1.5 to 20 times as large."""
ALWAYS_BYTES: Final = 1 << 30
"""What any ZIP file may become, however small it is."""
SPARED_BYTES: Final = 256 << 20
"""Of the temporary folder's disk that stay free."""
_MAGIC: Final = b"PK\x03\x04"
_ENCRYPTED: Final = 0x1
_BUFFER_BYTES: Final = 1 << 20


class UnpackedFolder:
    """A temporary folder that is removed with the last volume that comes from it.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="rasnode-zip-"))
        self._end = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def remove(self) -> None:
        """Remove it now."""
        self._end()


def is_zip(path: Path) -> bool:
    """Tell whether a file begins as a ZIP file does."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def unpacked(path: Path) -> UnpackedFolder:
    """Unpack a ZIP file; files in it are named by numbers, and ZIP files in it stay packed.

    Raises:
        AssemblyError: `zip-too-large`, before anything is unpacked, or `zip-unreadable`.
        OSError: it cannot be read, or the temporary folder cannot be written.
    """
    folder = UnpackedFolder()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(path, entries, shutil.disk_usage(folder.path).free)
            for number, entry in enumerate(entries):
                target = folder.path / f"{number:06d}"
                with archive.open(entry) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, _BUFFER_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        folder.remove()
        raise AssemblyError(
            Reason.ZIP_UNREADABLE, f"{path.name} is damaged or no ZIP file that can be read."
        ) from error
    except BaseException:
        folder.remove()
        raise
    return folder


def _check(path: Path, entries: list[zipfile.ZipInfo], free: int) -> None:
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise AssemblyError(
            Reason.ZIP_UNREADABLE, f"{path.name} has a password. Unpack it, and load the folder."
        )
    size = sum(entry.file_size for entry in entries)
    most = max(ALWAYS_BYTES, MOST_FOLD * path.stat().st_size)
    if len(entries) > MOST_FILES or size > most:
        raise AssemblyError(
            Reason.ZIP_TOO_LARGE,
            f"{path.name} would become {len(entries)} files of {size} bytes; at most {MOST_FILES} "
            f"files and {most} bytes are unpacked. Unpack it, and load the folder.",
        )
    if size > free - SPARED_BYTES:
        raise AssemblyError(
            Reason.ZIP_TOO_LARGE,
            f"{path.name} would become {size} bytes, and {tempfile.gettempdir()} has {free} bytes "
            "free. Set TMPDIR to a folder on a larger disk.",
        )
