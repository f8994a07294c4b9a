"""The same lives on a real index and a real output folder, to hold those in memory against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import event

from node.completion.facts import Statement
from node.core.records import AssociationEnd, InstanceRecord, SeriesState, Stored
from node.deliver.published_files import MANIFEST
from node.lifecycle.assembly.jobs import Assembled, Job, Product
from node.lifecycle.assembly.output_folder import OutputFolder
from node.storage.index.engine import Index
from node.storage.index.peers.statements import Statements
from node.storage.index.series.publications import Publications
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.databases import migrated_sqlite
from tests.simulator.bench import hasten
from tests.simulator.life import Life
from tests.simulator.worlds import World


class _Store:
    """The real store by the names that a life uses."""

    def __init__(self, store: Store, life: RealLife) -> None:
        self._store, self._life = store, life

    def open(self, ae: str) -> int:
        self._life.mirror.open(ae)
        return self._store.open_association(ae, "RASNODE", "", self._life.now, "p")

    def end(self, association: int, how: AssociationEnd, now: float) -> None:
        self._store.end_association(association, how, now)
        self._life.mirror.end(association, how, now)

    def add(self, record: InstanceRecord, association: int) -> Stored:
        self._life.mirror.add(record, association)
        return self._store.add([(record, association)])[0]


class _Statements:
    def __init__(self, statements: Statements, life: RealLife) -> None:
        self._statements, self._life = statements, life
        self._count = 0

    def add(self, uid: str, statement: Statement) -> None:
        self._count += 1
        self._life.memory.statements.setdefault(uid, []).append(statement)
        self._statements.add(uid, statement, reference=str(self._count))

    def of(self, uid: str) -> tuple[Statement, ...]:
        return self._statements.of(uid)


class RealLife(Life):
    """A world lived on SQLite and a file system.

    Args:
        folder: an empty one.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.index = Index(migrated_sqlite(folder / "index.db"))
        event.listen(self.index.engine, "connect", hasten)
        super().__init__(world)
        self.mirror = self.store  # what the oracle looks at
        self.store = _Store(Store(self.index), self)  # type: ignore[assignment]

    def _resources(self) -> tuple[Any, Any, Any]:
        real = Statements(self.index)
        if not isinstance(self.statements, _Statements):
            self.statements = _Statements(real, self)  # type: ignore[assignment]
        work = _Watched(self.index, self)
        return work, Publications(self.index), OutputFolder(self.folder / "nifti")

    def _assemble(self, job: Job) -> Assembled:
        self.memory.staged[job.staging] = {}
        made = super()._assemble(job)
        for name, content in self.memory.staged.pop(job.staging).items():
            text = content if isinstance(content, str) else json.dumps(_manifest(content))
            (job.staging / name).write_text(text)
        return Assembled(tuple(Product(p.stem, p.files, p.fingerprint) for p in made.products))

    def ends(self) -> dict[str, Any]:
        """By series: its history, what the index says of it, and what readers see."""
        work, root = Work(self.index), self.folder / "nifti"
        found = {}
        for series in work.in_state():
            images = {}
            for path in root.rglob("*" + MANIFEST):
                manifest = json.loads(path.read_text())
                if manifest["uid"] == series.uid:
                    image = path.with_name(path.name.replace(MANIFEST, ".nii.gz"))
                    images[manifest["revision"]] = image.read_text()
            found[series.uid] = (
                str(series.state),
                series.revision,
                (series.verdict or {}).get("verdict"),
                images,
                [_event(item) for item in work.history(series.pk)],
            )
        return found


def _manifest(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "series_instance_uid": content["uid"]}


class _Watched(Work):
    def __init__(self, index: Index, life: RealLife) -> None:
        super().__init__(index)
        self._life = life

    def move(self, seen: Any, to: SeriesState, **values: Any) -> Any:  # type: ignore[override]
        moved = super().move(seen, to, **values)
        if moved is not None and to is SeriesState.SETTLED and values["actor"] == "completion":
            self._life._decided(seen.uid, values["detail"]["verdict"])
        return moved


def ends_in_memory(life: Life) -> dict[str, Any]:
    """The same of a life in memory."""
    found = {}
    for uid, series in life.memory.all.items():
        record = series.record
        images = {
            manifest["revision"]: life.memory.disk[name.replace(MANIFEST, ".nii.gz")]
            for name, manifest in life.memory.disk.items()
            if name.endswith(MANIFEST) and manifest["uid"] == uid
        }
        found[uid] = (
            str(record.state),
            record.revision,
            (record.verdict or {}).get("verdict"),
            images,
            [_event(item) for item in series.events],
        )
    return found


def _event(item: dict[str, Any]) -> tuple[Any, ...]:
    detail = {key: value for key, value in item["detail"].items() if key != "files"}
    if item["actor"] == "receiver":
        detail = {}
    where = (str(item["from_state"]), str(item["to_state"]), item["revision"])
    return (round(item["at"], 6), item["actor"], *where, detail)
