"""Notes what happens below a folder, by looking at it around every call that names or syncs."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from node.storage.index.engine import Index
from tests.recording_disk.operations import (
    ROOT,
    Enter,
    FailedSync,
    Leave,
    Operation,
    Resize,
    Said,
    Sync,
    SyncAll,
    Write,
)

_PAGE: Final = 4096
_NAMING: Final = ("open", "link", "replace", "rename", "unlink", "mkdir", "rmdir", "remove")


class Recorder:
    """Records until `stop`. Whatever is below the folder at the beginning counts as durable.

    Args:
        root: the folder; nothing outside it is seen.

    Attributes:
        operations: what was done so far.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.operations: list[Operation] = []
        self.root = root
        self._patch = patch
        self._lock = threading.RLock()
        self._numbers = {root.stat().st_ino: ROOT}
        self._next = ROOT + 1
        self._names: dict[tuple[int, str], int] = {}
        self._contents: dict[int, bytes] = {}
        self._failing: set[str] = set()
        self.look()
        for number in sorted({ROOT, *self._names.values()}):
            self._log(Sync(number))
        for name in _NAMING:
            patch.setattr(os, name, self._looking_after(getattr(os, name)))
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, self._syncing(getattr(os, name)))
        patch.setattr(os, "sync", lambda: self._sync_everything(ROOT))
        patch.setattr(ctypes, "CDLL", self._library)

    def stop(self) -> None:
        """Record no more."""
        self.look()
        self._patch.undo()

    def said(self, what: str) -> None:
        """Something is answered, or shown, that has to be true from now on."""
        self.look()
        self._log(Said(what))

    def fail_once(self, what: str) -> None:
        """Have the next sync of a file of that name fail; "" is the sync of everything."""
        self._failing.add(what)

    def follow(self, index: Index) -> None:
        """Note what SQLite does by itself: a commit that is not relaxed syncs the log and its
        folder."""
        self.committed(index)
        writing = index.writing

        @contextmanager
        def recorded() -> Any:
            with writing() as connection:
                yield connection
            self.committed(index)

        self._patch.setattr(index, "writing", recorded)

    def committed(self, index: Index) -> None:
        """A transaction of an index has ended."""
        with self._lock:
            self.look()
            if not index._relaxed:
                path = index.file
                assert path is not None
                for one in (path.parent, path, path.with_name(f"{path.name}-wal")):
                    if one.exists() and one.stat().st_ino in self._numbers:
                        self._log(Sync(self._numbers[one.stat().st_ino]))

    def look(self) -> None:
        """Note what has changed since the last look."""
        with self._lock:
            there: dict[tuple[int, str], tuple[int, Path]] = {}
            self._list(self.root, ROOT, there)
            before = dict(self._names)
            self._names = {key: number for key, (number, _) in there.items()}
            self._note_names(before, there)
            files = [path for _, path in there.values() if path.is_file()]
            moved = [path for path in files if path.suffix == ".db" and self._differs(path)]
            for path in files:
                if path not in moved and not (moved and self._has_shrunk(path)):
                    self._note_content(path)
            for path in moved:
                self._note_checkpoint(path)
            kept = set(self._names.values()) | {ROOT}
            self._numbers = {ino: n for ino, n in self._numbers.items() if n in kept}

    def _note_checkpoint(self, path: Path) -> None:
        """SQLite syncs the log before it moves it into the file, and the file before the log may
        be shortened or written from its beginning."""
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            self._log(Sync(self._number(log)))
        self._note_content(path)
        if log.exists():
            self._log(Sync(self._number(path)))
            self._note_content(log)

    def _list(
        self, folder: Path, number: int, there: dict[tuple[int, str], tuple[int, Path]]
    ) -> None:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.name.endswith("-shm"):
                continue
            ino = entry.stat(follow_symlinks=False).st_ino
            if ino not in self._numbers:
                self._numbers[ino] = self._next
                self._next += 1
            there[number, entry.name] = (self._numbers[ino], Path(entry.path))
            if entry.is_dir():
                self._list(Path(entry.path), self._numbers[ino], there)

    def _note_names(
        self, before: dict[tuple[int, str], int], there: dict[tuple[int, str], tuple[int, Path]]
    ) -> None:
        gone = {key: number for key, number in before.items() if key not in there}
        for (folder, name), (number, path) in there.items():
            if before.get((folder, name)) == number:
                continue
            moved = next((k for k, n in gone.items() if n == number and k[0] == folder), None)
            if moved is not None:
                del gone[moved]
            self._log(Enter(folder, name, number, path.is_dir(), moved[1] if moved else ""))
        for folder, name in gone:
            self._log(Leave(folder, name))

    def _number(self, path: Path) -> int:
        return self._numbers[path.stat().st_ino]

    def _has_shrunk(self, path: Path) -> bool:
        return path.stat().st_size < len(self._contents.get(self._number(path), b""))

    def _differs(self, path: Path) -> bool:
        return path.read_bytes() != self._contents.get(self._number(path), b"")

    def _note_content(self, path: Path) -> None:
        number, new = self._number(path), path.read_bytes()
        old = self._contents.get(number, b"")
        if new == old:
            return
        if len(new) < len(old):
            self._log(Resize(number, len(new), path.name))
        first = None
        for at in range(0, len(new) + _PAGE, _PAGE):
            differs = at < len(new) and new[at : at + _PAGE] != old[at : at + _PAGE]
            if differs and first is None:
                first = at
            elif not differs and first is not None:
                self._log(Write(number, first, new[first:at], path.name))
                first = None
        self._contents[number] = new

    def _log(self, operation: Operation) -> None:
        self.operations.append(operation)

    def _looking_after(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            makes = real.__name__ != "open" or (len(args) > 1 and args[1] & os.O_CREAT)
            with self._lock:
                result = real(*args, **options)
                if makes:
                    self.look()
            return result

        return call

    def _syncing(self, real: Callable[[int], None]) -> Callable[[Any], None]:
        def call(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            path = Path(f"/proc/self/fd/{number}").readlink()
            with self._lock:
                self.look()
                node = self._numbers.get(os.fstat(number).st_ino)
                if node is None:
                    return
                if path.name in self._failing:
                    self._failing.discard(path.name)
                    self._log(FailedSync(node))
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                self._log(Sync(node))

        return call

    def _sync_everything(self, _handle: int) -> int:
        with self._lock:
            self.look()
            if "" in self._failing:
                self._failing.discard("")
                self._log(FailedSync(None))
                ctypes.set_errno(errno.EIO)
                return -1
            self._log(SyncAll())
            return 0

    def _library(self, *_: Any, **__: Any) -> Any:
        """The C library, as far as `node.core.system.disk` looks into it at run time."""

        class Library:
            syncfs = staticmethod(self._sync_everything)

        return Library()
