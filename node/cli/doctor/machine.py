"""What `doctor` checks of this machine: disk, journal, clock, codecs, open files."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from node.cli.doctor.finding import Finding, Grade
from node.storage.journal.damage import FOLDER, damage_sentence

_FILES_EACH = 4  # descriptors an association needs: socket, file, folder, database
_FILES_ANYWAY = 256
_SLOW_SYNC_SECONDS = 0.25
_CLOCK_SECONDS = 60
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "ceph"}
_CODECS = (
    JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2K,
    RLELossless,
)  # fmt: skip


def check_storage(root: Path) -> Iterator[Finding]:
    """Whether the storage root can be written, how fast it syncs, and who else can read it."""
    existing = root.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        seconds = _write_and_sync(existing)
    except OSError as error:
        yield Finding(
            "storage",
            Grade.WRONG,
            f"cannot write in {existing}: {error.strerror}",
            f"give the folder to user {os.geteuid()} (chown), or change storage.root",
        )
        return
    if existing != root.absolute():
        yield Finding("storage", Grade.GOOD, f"{root} does not exist yet and can be created")
    else:
        yield Finding("storage", Grade.GOOD, f"{root} can be written")
        if root.stat().st_mode & 0o007:
            yield Finding(
                "storage",
                Grade.NOTE,
                f"every user of this machine can read {root}",
                f"chmod o= {root}",
            )
    slow = seconds > _SLOW_SYNC_SECONDS
    yield Finding(
        "fsync",
        Grade.NOTE if slow else Grade.GOOD,
        f"a file is on stable storage after {seconds * 1000:.1f} ms",
        "every C-STORE waits as long: use a faster disk" if slow else "",
    )


def _write_and_sync(folder: Path) -> float:
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".rasnode-doctor-") as file:
        file.write(bytes(65536))
        file.flush()
        os.fsync(file.fileno())
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return time.monotonic() - began


def check_file_system(root: Path, mounts: str, *, sqlite: bool) -> Finding:
    """Whether SQLite can work on the file system: its write-ahead log needs a local one.

    Args:
        root: `storage.root`.
        mounts: content of /proc/mounts.
        sqlite: whether the index is SQLite.
    """
    best, kind = "", "unknown"
    path = str(root.absolute())
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ", 3)
        point = point.replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    if kind in _NETWORK_FILE_SYSTEMS and sqlite:
        return Finding(
            "file system",
            Grade.WRONG,
            f"{root} is on a network file system ({kind}), where SQLite is not safe",
            "use a local disk, or a database server: database.url postgresql+psycopg://…",
        )
    return Finding("file system", Grade.GOOD, kind)


def check_disk(root: Path, minimum_free: int) -> Finding:
    """Whether more than `storage.minimum_free` is free.

    Args:
        root: `storage.root`.
        minimum_free: bytes.
    """
    existing = root.absolute()
    while not existing.exists():
        existing = existing.parent
    state = os.statvfs(existing)
    free = state.f_bavail * state.f_frsize
    sentence = (
        f"{free / 2**30:.1f} GiB are free, storage.minimum_free is {minimum_free / 2**30:.1f} GiB"
    )
    if free < minimum_free:
        return Finding(
            "disk",
            Grade.WRONG,
            f"{sentence}: the node answers C-STORE with 0xA700",
            "free disk space, or lower storage.minimum_free",
        )
    if free < 3 * minimum_free:
        return Finding(
            "disk", Grade.NOTE, sentence, "free disk space soon, or set storage.retention"
        )
    return Finding("disk", Grade.GOOD, sentence)


def check_journal(root: Path) -> Finding:
    """Whether damage of the journal was found and not yet dealt with."""
    folder = root / "journal"
    fault = damage_sentence(folder)
    if fault is None:
        return Finding("journal", Grade.GOOD, "no damage was found")
    return Finding(
        "journal", Grade.WRONG, fault, f"afterwards remove the copies: rm -r {folder / FOLDER}"
    )


def check_clock(now: float, installed: float, last_arrival: float | None) -> Finding:
    """Whether the clock runs behind: quiet times would be wrong.

    Args:
        now: seconds since 1970.
        installed: when this program was installed, likewise.
        last_arrival: when the newest instance arrived, likewise; None: there is none.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    advice = "synchronise the clock: timedatectl set-ntp true"
    if now < installed - _CLOCK_SECONDS:
        return Finding(
            "clock", Grade.WRONG, f"{stamp} is before this program was installed", advice
        )
    if last_arrival is not None and now < last_arrival - _CLOCK_SECONDS:
        return Finding(
            "clock", Grade.WRONG, f"{stamp} is before the newest instance arrived", advice
        )
    return Finding("clock", Grade.GOOD, stamp)


def check_codecs() -> Finding:
    """Whether the decoders of compressed images are installed."""
    missing = [
        f"{UID(uid).name} ({'; '.join(decoder.missing_dependencies)})"
        for uid in _CODECS
        if not (decoder := get_decoder(uid)).is_available
    ]
    if missing:
        return Finding(
            "codecs",
            Grade.WRONG,
            f"cannot decode {', '.join(missing)}",
            "install the requirements again: pip install --require-hashes -r requirements/run.txt",
        )
    return Finding("codecs", Grade.GOOD, "JPEG, JPEG-LS, JPEG 2000, HTJ2K and RLE can be decoded")


def check_open_files(max_associations: int) -> Finding:
    """Whether the process may open enough files for `dicom.max_associations`."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = _FILES_ANYWAY + _FILES_EACH * max_associations
    sentence = f"{limit} files may be open, {max_associations} associations need about {needed}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        return Finding(
            "open files",
            Grade.WRONG,
            sentence,
            f"set LimitNOFILE={needed} in the service or ulimit -n {needed} in a shell, "
            "or lower dicom.max_associations",
        )
    return Finding("open files", Grade.GOOD, sentence)
