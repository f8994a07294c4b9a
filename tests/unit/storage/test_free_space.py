"""Room on the disk: looked at now and then, and never guessed in a sender's favour."""

from __future__ import annotations

import pytest

from node.core.errors import StorageFull
from node.storage.free_space import FreeSpaceGuard

MIB = 1 << 20


class Disk:
    """A disk whose free space others change."""

    def __init__(self, free: int, names: int | None = None) -> None:
        self.free = free
        self.names = names
        self.looks = 0
        self.backlog = 0
        self.now = 100.0

    def look(self) -> tuple[int, int | None]:
        self.looks += 1
        return self.free, self.names

    def free_space(self, minimum_free: int = 10 * MIB) -> FreeSpaceGuard:
        return FreeSpaceGuard(self.look, minimum_free, lambda: self.backlog, lambda: self.now)


def test_many_instances_take_one_look() -> None:
    disk = Disk(1000 * MIB)
    free_space = disk.free_space()
    for _ in range(100):
        free_space.take(MIB)
    assert disk.looks == 1
    disk.now += 0.1
    free_space.take(MIB)
    assert disk.looks == 2


def test_what_was_let_in_since_counts() -> None:
    disk = Disk(20 * MIB)
    free_space = disk.free_space()
    for _ in range(10):
        free_space.take(MIB)
    disk.free = 10 * MIB
    with pytest.raises(StorageFull, match=r"10 MiB are free.*minimum_free keeps 10 MiB"):
        free_space.take(MIB)


def test_nobody_is_refused_for_what_was_seen_before() -> None:
    disk = Disk(10 * MIB)
    free_space = disk.free_space()
    with pytest.raises(StorageFull):
        free_space.take(MIB)
    disk.free = 12 * MIB
    free_space.take(MIB)  # at the same moment


def test_a_disk_that_fills_up_is_noticed_within_moments() -> None:
    disk = Disk(1000 * MIB)
    free_space = disk.free_space()
    free_space.take(MIB)
    disk.free = 0
    disk.now += 0.03
    with pytest.raises(StorageFull):
        free_space.take(MIB)


def test_what_waits_to_be_filed_needs_room_too() -> None:
    disk = Disk(20 * MIB)
    disk.backlog = 10 * MIB
    with pytest.raises(StorageFull):
        disk.free_space().take(MIB)


def test_what_waits_to_be_filed_becomes_files() -> None:
    disk = Disk(1000 * MIB, names=1000)
    disk.backlog = 985 * 4096
    with pytest.raises(StorageFull, match="room for 15 files more"):
        disk.free_space().take(100)


def test_files_are_counted_where_the_file_system_counts_them() -> None:
    disk = Disk(1000 * MIB, names=20)
    free_space = disk.free_space()
    free_space.take(100, files=5)
    disk.names = 15
    with pytest.raises(StorageFull, match="room for 15 files more"):
        free_space.take(100)


def test_a_disk_that_does_not_answer_is_asked_again() -> None:
    disk = Disk(1000 * MIB)
    failing = True

    def look() -> tuple[int, int | None]:
        if failing:
            raise OSError(5, "Input/output error")
        return disk.look()

    free_space = FreeSpaceGuard(look, 0, clock=lambda: disk.now)
    with pytest.raises(StorageFull, match="Input/output error"):
        free_space.take(1)
    failing = False
    free_space.take(1)
