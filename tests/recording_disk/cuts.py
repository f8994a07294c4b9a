"""The states in which a power cut may leave a recorded disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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

Survives = Callable[[Operation, random.Random], bool]
_SEEDS: Final = (1,)


def _is_content(operation: Operation) -> bool:
    return isinstance(operation, Write | Resize)


def _is_of(operation: Operation, *beginnings: str) -> bool:
    return isinstance(operation, Write | Resize) and operation.name.startswith(beginnings)


_UNSYNCED: Final[dict[str, Survives]] = {
    "nothing unsynced": lambda _one, _chance: False,
    "unsynced names": lambda one, _chance: not _is_content(one),
    "unsynced contents": lambda one, _chance: _is_content(one),
    "unsynced words of the board": lambda one, _chance: _is_of(one, "board"),
    "unsynced commits": lambda one, _chance: _is_of(one, "index.db"),
    "unsynced manifests": lambda one, _chance: (
        isinstance(one, Enter) and one.name.endswith(".manifest.json")
    ),
    **{f"a part, seed {seed}": lambda _one, chance: chance.random() < 0.5 for seed in _SEEDS},
}


@dataclass(frozen=True)
class PowerCut:
    """What a power cut left.

    Attributes:
        after: the number of operations before it, and the last of them.
        survived: what of the unsynced is there.
        said: what others rely on.
    """

    after: str
    survived: str
    said: tuple[str, ...]
    _tree: _Tree

    def write(self, folder: Path) -> Path:
        """The disk as files below a folder that is not there yet."""
        self._tree.write(ROOT, folder)
        return folder


def power_cuts(operations: Sequence[Operation]) -> Iterator[PowerCut]:
    """Every state after every operation; those that are the same come once."""
    played = set()
    ledger = _Ledger()
    for number, operation in enumerate(operations, 1):
        ledger.enter(number - 1, operations)
        said = tuple(ledger.said)
        for name, kept in ledger.survivors(operations):
            key = (frozenset(kept), said)
            if key in played:
                continue
            played.add(key)
            tree = _Tree()
            for index in sorted(kept):
                tree.apply(operations[index])
            yield PowerCut(f"{number}: {_brief(operation)}", name, said, tree)


def _brief(operation: Operation) -> str:
    return repr(operation)[:200]


@dataclass
class _Ledger:
    """Which operations are durable, which may be, and which never will."""

    durable: set[int] = field(default_factory=set)
    pending: dict[int, list[int]] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def enter(self, index: int, operations: Sequence[Operation]) -> None:
        """Account for one more operation."""
        operation = operations[index]
        match operation:
            case Write(node=node) | Resize(node=node):
                self.pending.setdefault(node, []).append(index)
            case Enter(folder=folder) | Leave(folder=folder):
                self.pending.setdefault(folder, []).append(index)
            case Sync(node):
                self.durable.update(self.pending.pop(node, ()))
            case SyncAll():
                for one in self._of_archive(operations):
                    self.durable.update(self.pending.pop(one))
            case FailedSync(node):
                nodes = [node] if node is not None else self._of_archive(operations)
                self._lose(nodes, operations)
            case Said(what):
                self.said.append(what)

    def _of_archive(self, operations: Sequence[Operation]) -> list[int]:
        return [
            node
            for node, unsynced in self.pending.items()
            if not any(_is_of(operations[index], "index.db") for index in unsynced)
        ]

    def _lose(self, nodes: Sequence[int], operations: Sequence[Operation]) -> None:
        for node in nodes:
            unsynced = self.pending.pop(node, [])
            contents = [index for index in unsynced if _is_content(operations[index])]
            self.lost.update(contents)
            self.pending[node] = [index for index in unsynced if index not in contents]

    def survivors(self, operations: Sequence[Operation]) -> Iterator[tuple[str, set[int]]]:
        """The operations that are on the disk afterwards, in each of the ways it may go."""
        unsynced = [index for some in self.pending.values() for index in some]
        for name, survives in _UNSYNCED.items():
            chance = random.Random(f"{name} {len(self.durable)} {len(unsynced)}")
            kept = {index for index in unsynced if survives(operations[index], chance)}
            yield name, self.durable | kept
        yield "everything, the process was killed", self.durable | set(unsynced) | self.lost


@dataclass
class _Tree:
    contents: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, tuple[int, bool]]] = field(default_factory=dict)

    def apply(self, operation: Operation) -> None:
        """An operation has reached the disk."""
        match operation:
            case Write(node, at, data):
                content = self.contents.setdefault(node, bytearray())
                content.extend(bytes(max(0, at - len(content))))
                content[at : at + len(data)] = data
            case Resize(node, size):
                content = self.contents.setdefault(node, bytearray())
                content.extend(bytes(max(0, size - len(content))))
                del content[size:]
            case Enter(folder, name, node, is_folder, before):
                names = self.folders.setdefault(folder, {})
                if before:
                    names.pop(before, None)
                names[name] = (node, is_folder)
            case Leave(folder, name):
                self.folders.setdefault(folder, {}).pop(name, None)

    def write(self, number: int, folder: Path) -> None:
        """A folder and everything that is reached from it."""
        folder.mkdir()
        for name, (node, is_folder) in self.folders.get(number, {}).items():
            if is_folder:
                self.write(node, folder / name)
            else:
                (folder / name).write_bytes(self.contents.get(node, b""))
