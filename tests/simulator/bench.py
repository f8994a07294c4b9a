"""The real watcher on a real index, with time that only the test moves and assembly in place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sqlalchemy import event

from node.assemble.frames.model import FrameHeader, InstanceHeader, PixelFormat, encode_header
from node.completion.decision import Timing
from node.completion.facts import InstanceFacts
from node.convert import OutputOptions
from node.core.events import NewDelivery, SeriesEvent, StudyEvent
from node.core.output_rules import OutputRule
from node.core.records import AssociationEnd, InstanceRecord, SeriesRecord, Stored
from node.lifecycle.assembly.jobs import Assembled, Job, Product, Refusal
from node.lifecycle.assembly.precompression import IdleProcess
from node.lifecycle.completion_watcher import CompletionWatcher, CountQuery
from node.lifecycle.composition import make_completion_watcher
from node.lifecycle.expectations import Expectations
from node.lifecycle.series_origins import PeerNames
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.series.publications import Publications
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from node.storage.index.studies.statements import StudyStatements
from node.storage.index.studies.studies import Studies
from tests.databases import migrated_sqlite

MR = "1.2.840.10008.5.1.4.1.1.4"


class InPlace:
    """An executor that does a job when it is told to: at once, or one by one.

    Args:
        task: what is done.
        at_once: False leaves jobs lying until `work_off`.
    """

    def __init__(
        self, task: Callable[[Job], Assembled], *, capacity: int = 4, at_once: bool = True
    ) -> None:
        self.task = task
        self.capacity = capacity
        self.at_once = at_once
        self.waiting: list[tuple[Job, Future[Assembled]]] = []
        self.jobs: list[Job] = []
        self.killed: list[Future[Assembled]] = []
        self.closed = False

    def warm_up(self) -> None:
        pass

    def submit(self, job: Job) -> Future[Assembled]:
        future: Future[Assembled] = Future()
        future.set_running_or_notify_cancel()
        self.jobs.append(job)
        self.waiting.append((job, future))
        if self.at_once:
            self.work_off()
        return future

    def work_off(self) -> None:
        """Do every job that lies there."""
        waiting, self.waiting = self.waiting, []
        for job, future in waiting:
            try:
                future.set_result(self.task(job))
            except Exception as error:  # noqa: BLE001  as an executor does
                future.set_exception(error)

    def kill(self, future: Future[Assembled]) -> None:
        self.killed.append(future)

    def close(self) -> None:
        self.closed = True


def stage(job: Job, refusals: Sequence[Refusal] = (), volumes: int = 1) -> Assembled:
    """Stage files that tell exactly which instances they were made of."""
    if job.contradiction is not None:
        return Assembled(refusals=(job.contradiction,))
    content = "\n".join(sorted(f"{i.sop_instance_uid} {i.sha256}" for i in job.instances))
    digest = hashlib.sha256(content.encode()).hexdigest()
    products = []
    for number in range(1, volumes + 1):
        stem = job.stem if number == 1 else f"{job.stem}_e{number}"
        image = job.staging / f"{stem}.nii.gz"
        image.write_text(content)
        manifest = {
            "series_instance_uid": job.series_uid,
            "revision": job.revision,
            "verdict": job.verdict["verdict"],
            "sha256": hashlib.sha256(image.read_bytes()).hexdigest(),
        }
        (job.staging / f"{stem}.json").write_text("{}")
        (job.staging / f"{stem}.manifest.json").write_text(json.dumps(manifest))
        files = (f"{stem}.nii.gz", f"{stem}.json", f"{stem}.manifest.json")
        products.append(Product(stem, files, digest))
    return Assembled(tuple(products), tuple(refusals))


class Bench:
    """A node without a network: an index, an output folder, a watcher, and a clock.

    Args:
        url: a migrated database; none: an SQLite file, made anew.
    """

    def __init__(
        self,
        folder: Path,
        *,
        url: str = "",
        timing: Timing | None = None,
        task: Callable[[Job], Assembled] = stage,
        at_once: bool = True,
        template: str = "{StudyInstanceUID}/{SeriesNumber:04d}_{Modality}_{SeriesDescription}",
        rules: Callable[[SeriesEvent], Sequence[NewDelivery]] = lambda _event: (),
        study_rules: Callable[[StudyEvent], Sequence[NewDelivery]] = lambda _event: (),
        peer_names: PeerNames = lambda _title, _address: (),
        count_query: CountQuery | None = None,
        idle_process: IdleProcess | None = None,
        minimum_free: int = 0,
        output_rules: Sequence[OutputRule] = (),
        options: OutputOptions | None = None,
        expectations: Expectations | None = None,
    ) -> None:
        self.now = 1000.0
        self.output = folder / "nifti"
        self.index = Index(url or migrated_sqlite(folder / "index.db"))
        if self.index.is_sqlite:
            event.listen(self.index.engine, "connect", hasten)
        self.store, self.work = Store(self.index), Work(self.index)
        self.publications, self.outbox = Publications(self.index), Outbox(self.index)
        self.statements = Statements(self.index)
        self.studies, self.study_statements = Studies(self.index), StudyStatements(self.index)
        self.timing = timing or Timing()
        self.meanwhile: Callable[[], None] = lambda: None  # happens while a series is judged
        self.executor = InPlace(task, at_once=at_once)
        self._template, self._rules, self._count_query = template, rules, count_query
        self._study_rules, self._peer_names = study_rules, peer_names
        self._idle_process, self._minimum_free = idle_process, minimum_free
        self._output_rules = output_rules
        self._options = options or OutputOptions()
        self.expectations = expectations or Expectations()
        self.runs = 0
        self.watcher = self.restart()

    def restart(self) -> CompletionWatcher:
        """Another run of the node on the same index and folder, as after kill -9."""
        self.runs += 1
        at_once, task = self.executor.at_once, self.executor.task
        self.executor = InPlace(task, at_once=at_once)
        self.watcher = make_completion_watcher(
            self.index,
            self.executor,
            archive=Path("/nowhere"),
            output=self.output,
            template=self._template,
            options=self._options,
            timing=self._while_judging,
            owner=f"run {self.runs}",
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            rules=self._rules,
            study_rules=self._study_rules,
            peer_names=self._peer_names,
            count_query=self._count_query,
            idle_process=self._idle_process,
            minimum_free=self._minimum_free,
            output_rules=self._output_rules,
            expectations=lambda: self.expectations,
        )
        self.watcher.prepare()
        return self.watcher

    def _while_judging(self, _senders: Sequence[str]) -> Timing:
        action, self.meanwhile = self.meanwhile, lambda: None
        action()
        return self.timing

    def open(self, ae: str = "CT1", called: str = "RASNODE") -> int:
        return self.store.open_association(ae, called, "10.0.0.1", self.now, "p")

    def send(
        self,
        association: int | None,
        instances: Sequence[InstanceFacts],
        series: str = "1.5",
        **attributes: str,
    ) -> list[Stored]:
        records = [record(item, series, self.now, attributes) for item in instances]
        return self.store.add([(item, association) for item in records])

    def end(self, association: int, how: AssociationEnd = AssociationEnd.RELEASED) -> None:
        self.store.end_association(association, how, self.now)

    def deliver(
        self, instances: Sequence[InstanceFacts], series: str = "1.5", **values: str
    ) -> None:
        """One association from beginning to release."""
        association = self.open()
        self.send(association, instances, series, **values)
        self.end(association)

    def run(self, seconds: float) -> None:
        """Let time pass, with everything done when it is due."""
        end = self.now + seconds
        while True:
            self.watcher.step()
            wait = self.watcher.step()  # what a finished job leads to
            dues = (self.work.next_due(), self.studies.next_due())
            due = min((at for at in dues if at is not None), default=None)
            ahead = min([at for at in (due,) if at is not None and at > self.now], default=end)
            if due is not None and due <= self.now:
                ahead = self.now + max(wait, 0.001)
            if ahead >= end:
                break
            self.now = ahead
        self.now = end
        self.watcher.step()
        self.watcher.step()

    def series(self, uid: str = "1.5") -> SeriesRecord:
        found = self.work.series(uid)
        assert found is not None
        return found

    def state(self, uid: str = "1.5") -> str:
        return str(self.series(uid).state)

    def files(self) -> list[str]:
        """What readers see, relative to the output folder."""
        return sorted(
            str(path.relative_to(self.output))
            for path in self.output.rglob("*")
            if path.is_file() and ".staging" not in path.parts
        )

    def read(self, name: str) -> Any:
        path = self.output / name
        return json.loads(path.read_bytes()) if name.endswith(".json") else path.read_text()


def hasten(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # no power is cut here


def record(
    item: InstanceFacts, series: str, at: float, attributes: dict[str, str] | None = None
) -> InstanceRecord:
    """An instance as the receiver would index it."""
    frames = tuple(
        FrameHeader(
            index=index,
            rows=frame.rows,
            columns=frame.columns,
            position=frame.position,
            orientation=frame.orientation,  # type: ignore[arg-type]
            spacing=(1.0, 1.0),
            temporal=frame.time,
            echo_time=frame.echo,
            kind=frame.kind,
            acquisition=item.acquisition,
        )
        for index, frame in enumerate(item.frames)
    )
    header = InstanceHeader(
        sop_instance_uid=item.uid,
        sop_class_uid=MR,
        series_instance_uid=series,
        study_instance_uid=(attributes or {}).get("StudyInstanceUID", "1.4"),
        pixels=PixelFormat(64, 64, 1, "MONOCHROME2", 0, 16, 12, 11, False),
        frames=frames,
        announced={str(count): value for count, value in item.announced.items()},
    )
    values = {
        "PatientID": "P",
        "Modality": "MR",
        "SeriesNumber": "3",
        "SeriesDescription": "T1",
        "StudyInstanceUID": "1.4",
        **({} if item.number is None else {"InstanceNumber": str(item.number)}),
        **(attributes or {}),
    }
    return InstanceRecord(
        sop_instance_uid=item.uid,
        sop_class_uid=MR,
        series_instance_uid=series,
        study_instance_uid=values["StudyInstanceUID"],
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{series}/{item.uid}.dcm",
        size=100,
        sha256=hashlib.sha256(repr(item).encode()).hexdigest(),
        data_set_offset=10,
        pixel_offset=10,
        pixel_length=10,
        attributes=values,
        header=encode_header(header),
        received_at=at,
    )
