"""The index, the output folder and the executor in memory, so that thousands of worlds are cheap.

Each method does what its namesake in `node.storage.index`, `OutputFolder` or
`node.lifecycle.workers.local` does, as one indivisible act; `test_worlds.py` holds the two against
each other. Before and after every act the power may go out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node.completion.facts import Statement
from node.core.events import NewDelivery
from node.core.records import (
    Arrival,
    AssociationEnd,
    InstanceRecord,
    SeriesRecord,
    SeriesState,
    Stored,
    StoredInstance,
)
from node.deliver.published_files import MANIFEST
from node.lifecycle.assembly.jobs import Assembled, Job
from node.storage.index.series.namesakes import Part
from node.storage.index.series.publications import Publication, Stage
from node.storage.index.series.series_reader import Background, InstanceHeader


class PowerCut(BaseException):
    """The process is gone; nothing that it would have done next happens."""


@dataclass
class Association:
    ae: str
    end: AssociationEnd = AssociationEnd.OPEN
    ended_at: float | None = None


@dataclass
class Series:
    record: SeriesRecord
    instances: list[tuple[int, InstanceRecord, bool]] = field(default_factory=list)
    arrivals: dict[int, list[float]] = field(default_factory=dict)  # first, last, count
    brought: dict[str, int] = field(default_factory=dict)  # instance -> association, the last
    events: list[dict[str, Any]] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    stems: list[str] = field(default_factory=list)


class Memory:
    """What survives a restart."""

    def __init__(self) -> None:
        self.all: dict[str, Series] = {}
        self.associations: dict[int, Association] = {}
        self.statements: dict[str, list[Statement]] = {}
        self.stems: dict[str, int] = {}
        self.deliveries: list[NewDelivery] = []
        self.keys: set[str] = set()
        self.disk: dict[str, Any] = {}
        self.staged: dict[Path, dict[str, Any]] = {}
        self.rows = 0
        self.act: Callable[[str], None] = lambda _name: None  # may raise PowerCut

    def heard(
        self, seen: SeriesRecord, to: SeriesState, now: float, values: dict[str, Any]
    ) -> dict[str, Any]:
        """Due at once if a peer said something of the series."""
        rests = to not in (SeriesState.RECEIVING, SeriesState.SETTLED, SeriesState.ASSEMBLING)
        return {**values, "due": now} if rests and self.statements.get(seen.uid) else values

    def by_pk(self, pk: int) -> Series:
        return next(series for series in self.all.values() if series.record.pk == pk)


class MemoryStore:
    """What the receiver does to the index."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def open(self, ae: str) -> int:
        key = len(self._memory.associations) + 1
        self._memory.associations[key] = Association(ae)
        return key

    def end(self, association: int, how: AssociationEnd, now: float) -> None:
        found = self._memory.associations[association]
        found.end, found.ended_at = how, now
        for series in self._memory.all.values():
            if association in series.arrivals and series.record.state is SeriesState.RECEIVING:
                series.record = replace(series.record, due=now)

    def add(self, record: InstanceRecord, association: int | None) -> Stored:
        memory = self._memory
        uid, at = record.series_instance_uid, record.received_at
        series = memory.all.get(uid)
        if series is None:
            series = memory.all[uid] = Series(_new_series(len(memory.all) + 1, record))
        known = [
            item
            for _, item, _ in series.instances
            if item.sop_instance_uid == record.sop_instance_uid
        ]
        if any(item.sha256 == record.sha256 for item in known):
            self._repeat(series, record, association, first=known[0])
            return Stored.SAME
        memory.rows += 1
        series.instances.append((memory.rows, record, bool(known)))
        before = series.record
        series.record = replace(
            before,
            instances=before.instances + (not known),
            change=before.change + 1,
            last_arrival=max(before.last_arrival, at),
            due=at,
            state=SeriesState.RECEIVING,
            owner="",
        )
        if before.state is not SeriesState.RECEIVING:
            _note(series, at, "receiver", before.state, SeriesState.RECEIVING, {})
        if association is not None:
            first, _, count = series.arrivals.get(association, [at, at, 0])
            series.arrivals[association] = [first, at, count + 1]
            if not known:
                series.brought[record.sop_instance_uid] = association
        return Stored.CONFLICT if known else Stored.NEW

    def _repeat(
        self,
        series: Series,
        record: InstanceRecord,
        association: int | None,
        *,
        first: InstanceRecord,
    ) -> None:
        uid, at = record.sop_instance_uid, record.received_at
        before = series.brought.get(uid)
        waits = series.record.state is SeriesState.RECEIVING and first.sha256 == record.sha256
        if association is not None and before is not None and association > before and waits:
            series.brought[uid] = association
            series.arrivals.setdefault(association, [at, at, 0])


class MemoryWork:
    """`node.storage.index.series.work.Work` in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def _records(self) -> list[SeriesRecord]:
        return [series.record for series in self._memory.all.values()]

    def due(self, now: float, limit: int = 100) -> list[SeriesRecord]:
        found = [r for r in self._records() if r.due is not None and r.due <= now]
        return sorted(found, key=lambda record: record.due or 0.0)[:limit]

    def next_due(self) -> float | None:
        return min((r.due for r in self._records() if r.due is not None), default=None)

    def settled(self, now: float, limit: int) -> list[SeriesRecord]:
        found = [
            record
            for record in self._records()
            if record.state is SeriesState.SETTLED and (record.due is None or record.due <= now)
        ]
        return sorted(found, key=lambda record: record.state_since)[:limit]

    def series(self, uid: str) -> SeriesRecord | None:
        found = self._memory.all.get(uid)
        return found.record if found else None

    def in_state(self, *states: SeriesState) -> list[SeriesRecord]:
        return [record for record in self._records() if not states or record.state in states]

    def arrivals(self, pk: int) -> list[Arrival]:
        series, known = self._memory.by_pk(pk), self._memory.associations
        return [
            Arrival(
                known[a].ae,
                "",
                known[a].end,
                known[a].ended_at,
                first,
                last,
                int(count),
                repeated=known[a].end in (AssociationEnd.ABORTED, AssociationEnd.LOST)
                and a not in series.brought.values(),
            )
            for a, (first, last, count) in sorted(series.arrivals.items(), key=lambda i: i[1][0])
        ]

    def background(self, pk: int) -> Background:
        ends = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED)
        assembled, given_up = 0, False
        for event in self._memory.by_pk(pk).events:
            if event["from_state"] is SeriesState.ASSEMBLING and event["to_state"] in ends:
                assembled, given_up = assembled + 1, False
            elif event["actor"] == "completion" and event["to_state"] is SeriesState.HELD:
                given_up = True
        return Background(assembled, "", given_up)

    def headers(self, pk: int, after: int = 0) -> list[InstanceHeader]:
        return [
            InstanceHeader(
                row,
                record.sop_instance_uid,
                int(record.attributes["InstanceNumber"])
                if "InstanceNumber" in record.attributes
                else None,
                record.header,
            )
            for row, record, conflict in self._memory.by_pk(pk).instances
            if row > after and not conflict
        ]

    def instances(self, pk: int) -> list[StoredInstance]:
        return [
            StoredInstance(
                sop_instance_uid=record.sop_instance_uid,
                sop_class_uid=record.sop_class_uid,
                transfer_syntax_uid=record.transfer_syntax_uid,
                path=record.path,
                size=record.size,
                sha256=record.sha256,
                data_set_offset=record.data_set_offset,
                pixel_offset=record.pixel_offset,
                pixel_length=record.pixel_length,
                received_at=record.received_at,
                header=record.header,
                conflict=conflict,
            )
            for _, record, conflict in self._memory.by_pk(pk).instances
        ]

    def attributes(self, pk: int) -> dict[str, Any]:
        return self._memory.by_pk(pk).instances[0][1].attributes

    def image_types(self, _pk: int) -> list[str]:
        return []

    def pull_jobs(self, _study_uid: str, _series_uid: str) -> list[tuple[str, str]]:
        return []

    def history(self, pk: int) -> list[dict[str, Any]]:
        return self._memory.by_pk(pk).events

    def move(
        self,
        seen: SeriesRecord,
        to: SeriesState,
        *,
        now: float,
        actor: str,
        detail: dict[str, Any] | None = None,
        due: float | None = None,
        deliveries: Sequence[NewDelivery] = (),
        consequences: object = None,
        **values: Any,
    ) -> SeriesRecord | None:
        self._memory.act("move")
        series = self._memory.by_pk(seen.pk)
        changes = self._memory.heard(seen, to, now, {"due": due, **values})
        if not _swap(series, seen, to, now, actor, detail or {}, changes):
            return None
        _enqueue(self._memory, deliveries)
        self._memory.act("moved")
        return series.record

    def look_again(
        self, seen: SeriesRecord, due: float | None, verdict: dict[str, Any] | None = None
    ) -> bool:
        series = self._memory.by_pk(seen.pk)
        if (series.record.change, series.record.due) != (seen.change, seen.due):
            return False
        kept = series.record.verdict if verdict is None else verdict
        series.record = replace(series.record, due=due, verdict=kept)
        return True

    def members(self, _pk: int) -> list[SeriesRecord]:
        return []

    def renew(self, seen: SeriesRecord, until: float) -> bool:
        series = self._memory.by_pk(seen.pk)
        if series.record.change != seen.change:
            return False
        series.record = replace(series.record, due=until)
        return True

    def claim_stem(self, pk: int, stem: str) -> bool:
        self._memory.act("claim")
        owner = self._memory.stems.setdefault(stem, pk)
        if owner == pk and stem not in self._memory.by_pk(pk).stems:
            self._memory.by_pk(pk).stems.append(stem)
        return owner == pk

    def files_beside(self, _pk: int) -> set[str]:
        return set()

    def stems(self, pk: int) -> list[str]:
        return sorted(self._memory.by_pk(pk).stems)


class MemoryStatements:
    """`node.storage.index.peers.statements.Statements` in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def add(self, uid: str, statement: Statement) -> None:
        self._memory.statements.setdefault(uid, []).append(statement)
        busy = (SeriesState.SETTLED, SeriesState.ASSEMBLING)
        series = self._memory.all.get(uid)
        if series is not None and series.record.state not in busy:
            series.record = replace(series.record, due=statement.at)

    def of(self, uid: str) -> tuple[Statement, ...]:
        return tuple(self._memory.statements.get(uid, ()))


class MemoryPublications:
    """`node.storage.index.series.publications.Publications` in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def all(self, pk: int) -> list[Publication]:
        return list(self._memory.by_pk(pk).publications)

    def visible(self, pk: int) -> Publication | None:
        seen = [item for item in self.all(pk) if item.stage is Stage.VISIBLE]
        return seen[-1] if seen else None

    def latest(self, pk: int) -> Publication | None:
        known = self.all(pk)
        return known[-1] if known else None

    def next_revision(self, pk: int, floor: int = 0) -> int:
        used = [item.revision for item in self.all(pk) if item.stage is not Stage.BEGUN]
        return max([floor, *used]) + 1

    def begin(
        self,
        seen: SeriesRecord,
        revision: int,
        fingerprint: str,
        files: Sequence[str],
        verdict: dict[str, Any],
        now: float,
        digests: dict[str, str] | None = None,
    ) -> bool:
        self._memory.act("begin")
        series = self._memory.by_pk(seen.pk)
        if (series.record.state, series.record.change) != (seen.state, seen.change):
            return False
        made = Publication(revision, Stage.BEGUN, fingerprint, tuple(files), verdict, None)
        for place, item in enumerate(series.publications):
            if item.revision == revision:
                if item.fingerprint != fingerprint:
                    series.publications[place] = replace(item, stage=Stage.ABANDONED)
                    return False
                series.publications[place] = made
                return True
        series.publications.append(made)
        self._memory.act("begun")
        return True

    def finish(
        self,
        seen: SeriesRecord,
        revision: int,
        state: SeriesState,
        *,
        now: float,
        actor: str,
        detail: dict[str, Any],
        deliveries: Sequence[NewDelivery] = (),
        consequences: object = None,
    ) -> SeriesState:
        self._memory.act("finish")
        series = self._memory.by_pk(seen.pk)
        item = series.publications[-1]
        assert item.revision == revision
        series.publications[-1] = replace(item, stage=Stage.VISIBLE, visible_at=now)
        values = {"revision": revision, "outputs": item.files}
        _enqueue(self._memory, deliveries)
        full = {**values, "verdict": item.verdict, "due": None, "owner": ""}
        full = self._memory.heard(seen, state, now, full)
        if not _swap(series, seen, state, now, actor, detail, full):
            series.record = replace(series.record, **values)
            here = series.record.state
            _note(series, now, actor, here, here, detail)
        self._memory.act("finished")
        return series.record.state


class MemoryReferences:
    """`node.storage.index.series.references` of a world without labels."""

    def labels_of(self, _uid: str) -> list[str]:
        return []


class MemoryNamesakes:
    """`node.storage.index.series.namesakes` of a world in which no two series share a UID."""

    def beside(self, uid: str, _series: SeriesRecord) -> str | None:
        return uid

    def parts(self, _series: SeriesRecord) -> list[Part]:
        return []


class MemoryOutputFolder:
    """`OutputFolder` in memory; the power may go out between any two files."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def prepare(self) -> None:
        self._memory.staged.clear()

    def staging(self, name: str) -> Path:
        self._memory.staged[Path(name)] = {}
        return Path(name)

    def discard(self, staging: Path) -> None:
        self._memory.staged.pop(staging, None)

    def revision_on_disk(self, stems: Sequence[str], uids: set[str]) -> int:
        manifests = [self._memory.disk.get(stem + MANIFEST) for stem in stems]
        return max((m["revision"] for m in manifests if m and m["uid"] in uids), default=0)

    def folder(self, name: str) -> Path:
        return Path("/nowhere")

    def owner_on_disk(self, stem: str) -> str:
        manifest = self._memory.disk.get(stem + MANIFEST)
        return manifest["uid"] if manifest else ""

    def publish(
        self,
        staging: Path,
        folder: str,
        files: Sequence[str],
        revision: int,
        stems: Sequence[str],
        _spared: set[str],
    ) -> None:
        content = self._memory.staged[staging]
        self._put({f"{folder}/{name}": content[name] for name in files}, revision, stems)
        self.discard(staging)

    def withdraw(self, revision: int, stems: Sequence[str], _spared: set[str]) -> None:
        self._put({}, revision, stems)

    def _put(self, new: dict[str, Any], revision: int, stems: Sequence[str]) -> None:
        memory, disk = self._memory, self._memory.disk
        memory.act("publish")
        for stem in stems:
            old = disk.pop(stem + MANIFEST, None)
            if old and old["revision"] != revision:
                disk[f"{stem}.manifest.r{old['revision']}.json"] = old
            memory.act("manifest aside")
        for name, content in sorted(new.items()):
            if not name.endswith(MANIFEST):
                disk[name] = content
                memory.act("some files")
        for stem in stems:
            if stem + ".nii.gz" not in new:
                disk.pop(stem + ".nii.gz", None)
        memory.act("all files")
        for name, content in sorted(new.items()):
            if name.endswith(MANIFEST):
                disk[name] = content
        memory.act("published")


class MemoryExecutor:
    """Does a job when the world says so."""

    def __init__(self, task: Callable[[Job], Assembled], capacity: int) -> None:
        self._task = task
        self.capacity = capacity
        self.lying: list[tuple[Job, Future[Assembled]]] = []

    def warm_up(self) -> None:
        pass

    def submit(self, job: Job) -> Future[Assembled]:
        future: Future[Assembled] = Future()
        future.set_running_or_notify_cancel()
        self.lying.append((job, future))
        return future

    def work_off(self) -> bool:
        """Finish every job; tells whether there was one."""
        lying, self.lying = self.lying, []
        for job, future in lying:
            future.set_result(self._task(job))
        return bool(lying)

    def kill(self, future: Future[Assembled]) -> None:
        pass  # it ends by itself

    def close(self) -> None:
        self.lying.clear()


def _new_series(pk: int, record: InstanceRecord) -> SeriesRecord:
    return SeriesRecord(
        pk=pk,
        uid=record.series_instance_uid,
        study_uid=record.study_instance_uid,
        modality="MR",
        number=3,
        description="",
        instances=0,
        state=SeriesState.RECEIVING,
        state_since=record.received_at,
        change=0,
        revision=0,
        first_arrival=record.received_at,
        last_arrival=record.received_at,
        due=record.received_at,
        owner="",
        verdict=None,
        outputs=(),
    )


def _swap(
    series: Series,
    seen: SeriesRecord,
    to: SeriesState,
    now: float,
    actor: str,
    detail: dict[str, Any],
    values: dict[str, Any],
) -> bool:
    before = series.record
    if (before.state, before.change) != (seen.state, seen.change):
        return False
    if seen.state is SeriesState.RECEIVING and before.due != seen.due:
        return False
    series.record = replace(before, state=to, state_since=now, change=before.change + 1, **values)
    _note(series, now, actor, before.state, to, detail)
    return True


def _note(
    series: Series,
    now: float,
    actor: str,
    before: SeriesState,
    after: SeriesState,
    detail: dict[str, Any],
) -> None:
    series.events.append(
        {
            "at": now,
            "actor": actor,
            "from_state": before,
            "to_state": after,
            "revision": series.record.revision,
            "detail": detail,
        }
    )


def _enqueue(memory: Memory, deliveries: Sequence[NewDelivery]) -> None:
    for item in deliveries:
        if item.key not in memory.keys:
            memory.keys.add(item.key)
            memory.deliveries.append(item)
