"""What `doctor` looks at on this machine. Each check returns what it found and what to do."""

from __future__ import annotations

import errno
import os
import resource
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx
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

from node.core.system.port_holders import holders
from node.storage.journal.damage import FOLDER, damage_sentence
from node.storage.run_file import UNSEEN, RunState

_FILES_EACH = 4  # descriptors an association needs: socket, file, folder, database
_FILES_ANYWAY = 256
_SLOW_SYNC_SECONDS = 0.25
_CLOCK_SECONDS = 60
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "ceph"}
_CODECS = (
    JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2K,
    RLELossless,
)  # fmt: skip


UNSEEN_SENTENCE = "this user cannot see whether it is the one of this configuration"
UNSEEN_ADVICE = "run doctor as the node's user: sudo -u rasnode"


class Grade(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    NOTE = "note"  # works, but somebody should know
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name.
        advice: what to do; empty if there is nothing to do.
    """

    check: str
    grade: Grade
    found: str
    advice: str = ""


def listen(host: str, port: int) -> OSError | None:
    """Try to listen on an address for a moment; the error if it cannot be had."""
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error
    return None


def port_finding(check: str, address: str, key: str, error: OSError) -> Finding:
    """Why an address cannot be listened on, where it is not simply in use."""
    if error.errno == errno.EACCES:
        return Finding(
            check,
            Grade.WRONG,
            f"this user may not listen on {address}",
            f"ports below 1024 need a right: see 'Low ports' in docs/install.md, or set {key}",
        )
    return Finding(
        check,
        Grade.WRONG,
        f"cannot listen on {address}: {error.strerror or error}",
        f"set the host beside {key} to an address of this machine, or to 0.0.0.0 for all",
    )


def holder_of(port: int) -> str:
    """Who listens on a port, as far as this user may see it."""
    return ", ".join(map(str, holders(port))) or "another program"


def check_http(host: str, port: int | None, own: RunState | None = None) -> Finding:
    """The page's port: free, or our own page answers on it.

    Args:
        own: the node that runs with this configuration, if one does.
    """
    if port is None:
        return Finding("http", Grade.GOOD, "no page (http.port is null)")
    error = listen(host, port)
    address = f"{host}:{port}"
    if error is None:
        return Finding("http", Grade.GOOD, f"{address} is free")
    if error.errno != errno.EADDRINUSE:
        return port_finding("http", address, "http.port", error)
    return _check_page(host, port, own)


def _check_page(host: str, port: int, own: RunState | None) -> Finding:
    address = f"{host}:{port}"
    reach = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    advice = "stop it, or set http.port to another port or to null"
    try:
        answer = httpx.get(f"http://{reach}:{port}/health", timeout=15)
        faults = answer.json()["faults"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        said = f"{holder_of(port)} listens on {address}, and is no node"
        return Finding("http", Grade.WRONG, said, advice)
    if own is UNSEEN:
        said = f"the page of a node answers on {address}; {UNSEEN_SENTENCE}"
        return Finding("http", Grade.NOTE, said, UNSEEN_ADVICE)
    if own is None or own.http_port != port:
        said = f"the page of another node ({holder_of(port)}) is on {address}"
        return Finding("http", Grade.WRONG, said, advice)
    if faults:
        said = "; ".join(f"{name}: {why}" for name, why in faults.items())
        return Finding("http", Grade.WRONG, f"the node says it is not well: {said}", "see above")
    return Finding("http", Grade.GOOD, f"this node's page answers on {address}, and it is healthy")


def check_storage(root: Path) -> Iterator[Finding]:
    """Can the storage root be written, does it keep what was synced, who else can read it."""
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
            f"give user {os.geteuid()} the folder (chown), or set storage.root",
        )
        return
    if existing != root.absolute():
        yield Finding("storage", Grade.GOOD, f"{root} is not there yet and can be made")
    else:
        yield Finding("storage", Grade.GOOD, f"{root} can be written")
        if root.stat().st_mode & 0o007:
            yield Finding(
                "storage",
                Grade.NOTE,
                f"every user of this machine can look into {root}",
                f"chmod o= {root}",
            )
    slow = seconds > _SLOW_SYNC_SECONDS
    yield Finding(
        "fsync",
        Grade.NOTE if slow else Grade.GOOD,
        f"a file is on stable storage after {seconds * 1000:.1f} ms",
        "every instance waits so long: a faster disk receives faster" if slow else "",
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
    """SQLite's write-ahead log does not work over a network.

    Args:
        mounts: content of /proc/mounts.
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
            f"{root} is on a network file system ({kind}), where SQLite cannot be trusted",
            "use a local disk, or a database server: database.url postgresql+psycopg://…",
        )
    return Finding("file system", Grade.GOOD, kind)


def check_disk(root: Path, minimum_free: int) -> Finding:
    """Is there more than `storage.minimum_free`."""
    existing = root.absolute()
    while not existing.exists():
        existing = existing.parent
    state = os.statvfs(existing)
    free = state.f_bavail * state.f_frsize
    said = f"{free / 2**30:.1f} GiB free, {minimum_free / 2**30:.1f} GiB are kept"
    if free < minimum_free:
        return Finding(
            "disk",
            Grade.WRONG,
            f"{said}: C-STORE is answered 0xA700",
            "free some disk, or lower storage.minimum_free",
        )
    if free < 3 * minimum_free:
        return Finding("disk", Grade.NOTE, said, "make room soon, or set storage.retention")
    return Finding("disk", Grade.GOOD, said)


def check_journal(root: Path) -> Finding:
    """Was anything of the journal damaged that nobody has seen yet."""
    folder = root / "journal"
    fault = damage_sentence(folder)
    if fault is None:
        return Finding("journal", Grade.GOOD, "nothing in it was found damaged")
    return Finding("journal", Grade.WRONG, fault, f"when that is done: rm -r {folder / FOLDER}")


def check_clock(now: float, installed: float, last_arrival: float | None) -> Finding:
    """A clock that runs behind makes quiet times wrong.

    Args:
        now: seconds since 1970.
        installed: when this program was put here, likewise.
        last_arrival: when the newest instance came, as it was noted then.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    advice = "let the machine keep its clock: timedatectl set-ntp true"
    if now < installed - _CLOCK_SECONDS:
        return Finding("clock", Grade.WRONG, f"{stamp}: before this program was installed", advice)
    if last_arrival is not None and now < last_arrival - _CLOCK_SECONDS:
        return Finding("clock", Grade.WRONG, f"{stamp}: before the newest instance came", advice)
    return Finding("clock", Grade.GOOD, stamp)


def check_codecs() -> Finding:
    """Are the decoders of compressed images there."""
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
    """Are there file descriptors for as many associations as may come."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = _FILES_ANYWAY + _FILES_EACH * max_associations
    said = f"{limit} files may be open; {max_associations} associations need about {needed}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        return Finding(
            "open files",
            Grade.WRONG,
            said,
            f"LimitNOFILE={needed} in the service, ulimit -n {needed} in a shell, "
            "or fewer dicom.max_associations",
        )
    return Finding("open files", Grade.GOOD, said)
