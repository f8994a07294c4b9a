"""Compares every archived file with what was received, and every published one with its digest."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from node.core.errors import Reason, Retryable
from node.lifecycle.verification.damage_reporter import DamageReporter, StorageAway, expected
from node.lifecycle.verification.published_digests import digests_of
from node.storage.index.engine import Index
from node.storage.index.search.search import Sendable
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Inventory, Outputs, Progress, Stage
from node.storage.integrity import Damage, check_archived, check_published

Pace = Callable[[int], None]
_KEPT_EVERY_SECONDS: Final = 5.0  # the progress; files compared since are compared again


class Checked(NamedTuple):
    """What was compared in one step.

    Attributes:
        files: the number of files.
        bytes: the number of bytes in them.
    """

    files: int
    bytes: int


class Verifier:
    """Compares files, and records which are damaged.

    Args:
        index: the database.
        root: `storage.root`.
        name: under which the progress is stored.
        clock: returns seconds since 1970, UTC.
        pace: called with the number of bytes that were read; it may wait.
    """

    def __init__(
        self,
        index: Index,
        root: Path,
        *,
        name: str,
        clock: Callable[[], float],
        pace: Pace = lambda _size: None,
    ) -> None:
        self._inventory = Inventory(index)
        self._damages = Damages(index)
        self._reporter = DamageReporter(index, root, clock)
        self._archive = root / "archive"
        self._published = root / "nifti"
        self._name = name
        self._clock = clock
        self._pace = pace

    def progress(self) -> Progress:
        """The stored progress."""
        return self._inventory.progress(self._name)

    def restart(self) -> None:
        """Forget the progress: the next round starts at the beginning."""
        self._inventory.keep(self._name, Progress(ended_at=self.progress().ended_at))

    def recheck_damaged(self) -> Iterator[Checked]:
        """Check again the files that are known to be damaged: they may have been repaired.

        Raises:
            Retryable: the storage or the index is unavailable.
        """
        for damaged in self._damages.all():
            size = 0
            try:
                if not damaged.is_archived:
                    size = self._published_again(damaged.series_pk, damaged.path)
                else:
                    for instance in self._damages.expected(damaged):
                        self._compare(instance)
                        size += instance.size
            except Damage:
                yield Checked(1, size)
                continue
            self._reporter.record_repaired(damaged)
            yield Checked(1, size)

    def remaining(self) -> Iterator[Checked]:
        """Compare all files, from where an earlier run ended; it may be stopped after each.

        Raises:
            Retryable: the storage or the index is unavailable.
        """
        progress = self.progress()
        if not progress.is_under_way:
            progress = Progress(began_at=self._clock(), ended_at=progress.ended_at)
        kept = time.monotonic()
        try:
            for stage, row, checked in self._from(progress.stage, progress.after):
                progress = msgspec.structs.replace(
                    progress,
                    stage=stage,
                    after=row,
                    files=progress.files + checked.files,
                    bytes=progress.bytes + checked.bytes,
                )
                if time.monotonic() - kept > _KEPT_EVERY_SECONDS:
                    self._inventory.keep(self._name, progress)
                    kept = time.monotonic()
                yield checked
        except BaseException:  # stopped by Ctrl-C or with the node
            with suppress(Retryable):
                self._inventory.keep(self._name, progress)
            raise
        self._inventory.keep(self._name, Progress(ended_at=self._clock()))

    def sample(self, count: int) -> Iterator[Checked]:
        """Compare some instances, chosen at random.

        Raises:
            Retryable: the storage or the index is unavailable.
        """
        for instance in self._inventory.sample(count):
            yield self._instance(instance)

    def _from(self, stage: Stage, after: int) -> Iterator[tuple[Stage, int, Checked]]:
        if stage is Stage.INSTANCES:
            for row, instance in self._inventory.instances(after):
                yield stage, row, self._instance(instance)
            stage, after = Stage.CONFLICTS, 0
        if stage is Stage.CONFLICTS:
            for row, instance in self._inventory.conflicts(after):
                yield stage, row, self._instance(instance)
            stage, after = Stage.OUTPUTS, 0
        for outputs in self._inventory.outputs(after):
            yield stage, outputs.series_pk, self._outputs(outputs)

    def _instance(self, instance: Sendable) -> Checked:
        try:
            self._compare(instance)
        except Damage as damage:
            self._reporter.record_instance(instance, damage)
        return Checked(1, instance.size)

    def _compare(self, instance: Sendable) -> None:
        try:
            check_archived(
                self._archive / instance.path, expected(instance), self._pace, from_disk=True
            )
        except OSError as error:
            raise _refused(error, Reason.INSTANCE_DAMAGED) from error

    def _outputs(self, outputs: Outputs) -> Checked:
        size = 0
        for name, digest in digests_of(outputs, self._published).items():
            try:
                size += self._output(name, digest)
            except Damage as damage:
                self._reporter.record_output(outputs, name, damage)
        return Checked(len(outputs.files), size)

    def _output(self, name: str, digest: str) -> int:
        file = self._published / name
        try:
            check_published(file, digest, self._pace, from_disk=True)
            return file.stat().st_size
        except OSError as error:
            raise _refused(error, Reason.OUTPUT_DAMAGED) from error

    def _published_again(self, series_pk: int, path: str) -> int:
        """Compare one published file, if its series still has it."""
        outputs = self._inventory.outputs_of(series_pk)
        if outputs is None:
            return 0
        digests = digests_of(outputs, self._published)
        name = path.removeprefix("nifti/")
        return self._output(name, digests[name]) if name in digests else 0


def _refused(error: OSError, reason: Reason) -> Damage | StorageAway:
    """What it means that an existing file cannot be read."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Damage(reason, f"the node cannot read its file: {error.strerror}")
    return StorageAway(f"the node cannot read files below storage.root now: {error.strerror}")
