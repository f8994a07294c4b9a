"""Lives a world through with the real watcher, and looks over its shoulder."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from node.completion.decision import LONGEST_WAIT_SECONDS, Timing
from node.completion.facts import InstanceFacts
from node.convert import OutputOptions
from node.core.events import NewDelivery, SeriesEvent
from node.core.records import AssociationEnd, SeriesState, Stored
from node.deliver.published_files import MANIFEST
from node.lifecycle.assembly.failures import AssemblyFailures
from node.lifecycle.assembly.jobs import Assembled, Job, Product
from node.lifecycle.assembly.label_references import LabelReferences
from node.lifecycle.assembly.name_disputes import NameDisputes
from node.lifecycle.assembly.outcomes import Outcomes
from node.lifecycle.assembly.output_name_claims import OutputNameClaims
from node.lifecycle.assembly.precompression import Precompression
from node.lifecycle.assembly.revision_publisher import RevisionPublisher
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.assembly.scheduler import AssemblyScheduler
from node.lifecycle.completion_watcher import PACE_SECONDS, POLL_SECONDS, CompletionWatcher
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.series_origins import SeriesOrigins
from tests.simulator.bench import record
from tests.simulator.memory import (
    Memory,
    MemoryExecutor,
    MemoryNamesakes,
    MemoryOutputFolder,
    MemoryPublications,
    MemoryReferences,
    MemoryStatements,
    MemoryStore,
    MemoryWork,
    PowerCut,
)
from tests.simulator.worlds import START, World

LONG = 20 * 86400.0
JUDGING = 0.3  # seconds that looking at a series may take


@dataclass
class Account:
    """What became of a world."""

    states: dict[str, str]
    verdicts: dict[str, str]
    images: dict[str, str]  # what readers see, by series
    revisions: dict[str, list[int]]
    assemblies: dict[str, int]
    bursts: dict[str, int]
    decided: dict[str, float]  # when it was last said what to do with a series
    made_as: dict[str, str]  # the verdict with which a series was last given to assembly
    holds: dict[str, int]  # how many times gaps were given up for
    cuts: int
    deliveries: list[NewDelivery]
    violations: list[str]


class Life:
    """A world in progress."""

    def __init__(self, world: World, timing: Timing | None = None) -> None:
        self.world = world
        self.timing = timing or Timing()
        self.now = START
        self.memory = Memory()
        self.store = MemoryStore(self.memory)
        self.statements = MemoryStatements(self.memory)
        self.violations: list[str] = []
        self.assemblies: dict[str, int] = {}
        self.bursts: dict[str, int] = {}
        self.cuts = 0
        self._held: dict[str, dict[str, InstanceFacts]] = {}
        self._silent_before: dict[str, bool] = {}
        self._grown: dict[str, int] = {}  # how often it was assembled before its last instance
        self._runs = 0
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._open: dict[int, int] = {}  # stream -> association
        self._jobs_end: list[float] = []
        self.watcher = self._start()
        self.memory.act = self._act

    def live(self) -> Account:
        """From the first association until nothing moves any more."""
        self.run()
        return self._account()

    def run(self) -> None:
        """Let everything happen that is planned, and time enough pass after it."""
        for number, stream in enumerate(self.world.streams):
            self._at(stream.opened, lambda n=number: self._opened(n))
            for at, uid, item in stream.items:
                self._at(at, lambda n=number, u=uid, i=item: self._brought(n, u, i))
            self._at(stream.ended, lambda n=number, e=stream.end: self._ended(n, e))
        for uid, statement in self.world.statements:
            self._at(statement.at, lambda u=uid, s=statement: self.statements.add(u, s))
        for at in self.world.restarts:
            self._at(at, self._power_cut)
        last = max([at for at, _, _ in self._events], default=START)
        self._run_until(last + LONG)

    def _at(self, at: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    def _run_until(self, end: float) -> None:
        for _ in range(100_000):
            event = self._events[0][0] if self._events else end
            due = self.memory_due()
            job = min(self._jobs_end, default=end)
            upcoming = min(event, due, job, end)
            self.now = max(self.now, upcoming)
            if self.now >= end:
                return
            if self._jobs_end and job <= self.now:
                self._jobs_end.clear()
                self.executor.work_off()
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._step()
        self.violations.append("the watcher never comes to rest")

    def memory_due(self) -> float:
        """When the watcher would wake by itself."""
        if self.watcher_work.settled(self.now, 1):
            return self.now + POLL_SECONDS
        due = self.watcher_work.next_due()
        return float("inf") if due is None else max(due, self.now + PACE_SECONDS)

    def _step(self) -> None:
        try:
            for _ in range(3):
                self.watcher.step()
                if self.executor.lying and not self.world.job_seconds:
                    self.executor.work_off()
            if self.executor.lying and not self._jobs_end:
                self._jobs_end.append(self.now + self.world.job_seconds)
        except PowerCut:
            self._power_cut()

    def _while_judging(self, _senders: Sequence[str]) -> Timing:
        """What comes just now may come between the reading of the facts and the decision."""
        while (
            self._events
            and self._events[0][0] <= self.now + JUDGING
            and self._events[0][2] != self._power_cut
            and self.world.rng.random() < self.world.judging
        ):
            at, _, event = heapq.heappop(self._events)
            self.now = max(self.now, at)
            event()
        return self.timing

    def _act(self, name: str) -> None:
        if self.world.cut and self.world.rng.random() < self.world.cut:
            raise PowerCut(name)

    def _power_cut(self) -> None:
        """Everything stops; what the senders had in the air they send again after a while."""
        self.cuts += 1
        self.now += self.world.rng.choice((0.1, 3.0, 100.0))
        self._jobs_end.clear()
        for number, association in list(self._open.items()):
            self.store.end(association, AssociationEnd.LOST, self.now)
            del self._open[number]
            stream = self.world.streams[number]
            again = self.now + self.world.rng.choice((1.0, 40.0))
            for place, (_, uid, item) in enumerate(stream.items):
                self._at(again + 0.01 * place, lambda u=uid, i=item: self._resent(u, i))
        cut, self.world.cut = self.world.cut, 0.0
        self.watcher = self._start()
        self.world.cut = cut / 2  # or it would never end

    def _start(self) -> CompletionWatcher:
        self._runs += 1
        work, publications, output_folder = self._resources()
        self.watcher_work = work
        self.executor = MemoryExecutor(self._assemble, capacity=2)
        template = "{StudyInstanceUID}/{SeriesDescription}"
        origins = SeriesOrigins(work)  # type: ignore[arg-type]
        ruled = RuledNames(work, None, origins, None, (), template, dates=False)  # type: ignore[arg-type]
        output_names = OutputNameClaims(work, output_folder, template, ruled)  # type: ignore[arg-type]
        event_publisher = EventPublisher(origins, _tell)
        label_references = LabelReferences(work, MemoryReferences(), MemoryNamesakes())  # type: ignore[arg-type]
        outcomes = Outcomes(
            work,  # type: ignore[arg-type]
            publications,  # type: ignore[arg-type]
            output_folder,  # type: ignore[arg-type]
            ruled,
            event_publisher,
            label_references,
        )
        disputes = NameDisputes(publications, output_names, ruled, outcomes)  # type: ignore[arg-type]
        revision_publisher = RevisionPublisher(
            work,  # type: ignore[arg-type]
            publications,  # type: ignore[arg-type]
            output_folder,  # type: ignore[arg-type]
            ruled,
            disputes,
            outcomes,
            None,  # type: ignore[arg-type]
        )
        archive, options = Path("/archive"), OutputOptions()
        precompression = Precompression(work, output_folder, None, archive=archive, options=options)  # type: ignore[arg-type]
        assembly_scheduler = AssemblyScheduler(
            work,  # type: ignore[arg-type]
            output_folder,  # type: ignore[arg-type]
            output_names,
            revision_publisher,
            AssemblyFailures(work, outcomes),  # type: ignore[arg-type]
            label_references,
            MemoryNamesakes(),  # type: ignore[arg-type]
            self.executor,
            precompression,
            archive=archive,
            options=options,
            owner=f"run {self._runs}",
            wake=lambda: None,
        )
        watcher = CompletionWatcher(
            work,  # type: ignore[arg-type]
            EvidenceLoader(work, self.statements),  # type: ignore[arg-type]
            assembly_scheduler,
            outcomes,
            precompression,
            _NoRuns(),  # type: ignore[arg-type]
            timing=self._while_judging,
            clock=lambda: self.now,
            count_query=None,
            woken=_Unheard(),  # type: ignore[arg-type]
        )
        watcher.prepare()
        return watcher

    def _resources(self) -> tuple[Any, Any, Any]:
        """What a run of the node opens anew."""
        memory = self.memory
        work = _Watched(memory, self._decided)
        return work, MemoryPublications(memory), MemoryOutputFolder(memory)

    def _opened(self, number: int) -> None:
        self._open[number] = self.store.open("CT1")

    def _brought(self, number: int, uid: str, item: InstanceFacts) -> None:
        if number in self._open:
            self._stored(self._open[number], uid, item)

    def _resent(self, uid: str, item: InstanceFacts) -> None:
        association = self.store.open("CT1")
        self._stored(association, uid, item)
        self.store.end(association, AssociationEnd.RELEASED, self.now)

    def _ended(self, number: int, how: AssociationEnd) -> None:
        if number in self._open:
            for uid in self.memory.all:  # an end may come long after silence was heard
                self._silent_before[uid] = self._was_silent(uid) or self._silent_before[uid]
            self.store.end(self._open.pop(number), how, self.now)

    def _stored(self, association: int, uid: str, item: InstanceFacts) -> None:
        made = record(item, uid, self.now, {"SeriesDescription": "same for all"})
        silent = self._was_silent(uid) or self._silent_before.get(uid, True)
        if self.store.add(made, association) is Stored.SAME:
            return
        self._held.setdefault(uid, {})[item.uid] = item
        self._silent_before[uid] = False
        self._grown[uid] = self.watcher_work.background(self.memory.all[uid].record.pk).assembled
        if silent:
            self.bursts[uid] = self.bursts.get(uid, 0) + 1

    def _was_silent(self, uid: str) -> bool:
        """Whether silence had lasted long enough to be taken for the end."""
        series = self.memory.all.get(uid)
        if series is None:
            return True
        carried = [self.memory.associations[number] for number in series.arrivals]
        if any(association.end is AssociationEnd.OPEN for association in carried):
            return self.now - series.record.last_arrival >= self.timing.open_quiet
        ends = [association.ended_at or 0.0 for association in carried]
        quiet = min(self.timing.quiet * 2 ** self._grown.get(uid, 0), LONGEST_WAIT_SECONDS)
        return self.now - max([series.record.last_arrival, *ends]) >= quiet

    def _assemble(self, job: Job) -> Assembled:
        self.assemblies[job.series_uid] = self.assemblies.get(job.series_uid, 0) + 1
        content = "\n".join(sorted(f"{i.sop_instance_uid} {i.sha256}" for i in job.instances))
        manifest = {"uid": job.series_uid, "revision": job.revision, "image": content}
        files = (f"{job.stem}.nii.gz", f"{job.stem}{MANIFEST}")
        self.memory.staged[job.staging] = dict(zip(files, (content, manifest), strict=True))
        return Assembled((Product(job.stem, files, content),))

    def _decided(self, uid: str, verdict: str) -> None:
        """Hold a decision against the truth."""
        if verdict == "complete":
            held, truth = self._held[uid], self.world.series[uid]
            missing = [item for item in truth.instances if item.uid not in held]
            if missing and (why := self._contrary(uid)):
                self.violations.append(f"{uid} was called complete although {why}")
            if not truth.announces and not self._proven(uid):
                self.violations.append(f"{uid} was called complete, and nothing says so")

    def _contrary(self, uid: str) -> str:
        """What the node holds that speaks against the series being whole."""
        held, truth = self._held[uid], self.world.series[uid]
        for statement in self.memory.statements.get(uid, ()):
            if statement.uids and not statement.uids <= set(held):
                return f"{statement.source} lists more"
            if statement.count and statement.count > len(held):
                return "its sender has more"
        if truth.announces and len(held) < len(truth.instances):
            return "its headers announce more"
        numbers = sorted(item.number or 0 for item in held.values())
        if numbers[-1] - numbers[0] + 1 > len(numbers):
            return "its numbers have holes"
        return ""

    def _proven(self, uid: str) -> bool:
        """Whether a peer has said that what the node holds is all there is."""
        held, last = set(self._held[uid]), self.memory.all[uid].record.last_arrival
        return any(
            (said.uids is not None and said.uids >= held)
            or (said.count == len(held) and said.at >= last)
            for said in self.memory.statements.get(uid, ())
        )

    def _account(self) -> Account:
        memory = self.memory
        series = {uid: item.record for uid, item in memory.all.items()}
        manifests = {
            name: content for name, content in memory.disk.items() if name.endswith(MANIFEST)
        }
        images: dict[str, str] = {}
        for name, manifest in manifests.items():
            uid = manifest["uid"]
            if uid in images:
                self.violations.append(f"{uid} has two visible manifests")
            images[uid] = memory.disk[name.replace(MANIFEST, ".nii.gz")]
            if images[uid] != manifest["image"]:
                self.violations.append(f"{uid}: the manifest speaks of another image")
            if manifest["revision"] != series[uid].revision:
                self.violations.append(f"{uid}: another revision is visible than the index says")
        loose = sum(name.endswith(".nii.gz") for name in memory.disk) - len(manifests)
        if loose:
            self.violations.append(f"{loose} images without a manifest")
        return Account(
            states={uid: str(item.state) for uid, item in series.items()},
            verdicts={uid: (item.verdict or {}).get("verdict", "") for uid, item in series.items()},
            images=images,
            revisions={
                uid: [p.revision for p in item.publications if p.visible_at is not None]
                for uid, item in memory.all.items()
            },
            assemblies=self.assemblies,
            bursts=self.bursts,
            decided={
                uid: max(event["at"] for event in item.events if event["actor"] == "completion")
                for uid, item in memory.all.items()
            },
            made_as={
                uid: event["detail"]["verdict"]
                for uid, item in memory.all.items()
                for event in item.events
                if event["to_state"] is SeriesState.SETTLED and event["actor"] == "completion"
            },
            holds={
                uid: sum(
                    event["actor"] == "completion" and event["to_state"] is SeriesState.HELD
                    for event in item.events
                )
                for uid, item in memory.all.items()
            },
            cuts=self.cuts,
            deliveries=memory.deliveries,
            violations=self.violations,
        )


class _NoRuns:
    """No series here is of a scanner that splits runs."""

    def startable(self, settled: Any, now: float, beat: Any) -> Any:
        return settled


class _Watched(MemoryWork):
    """Reports every decision that a series is whole."""

    def __init__(self, memory: Memory, decided: Callable[[str, str], None]) -> None:
        super().__init__(memory)
        self._decided = decided

    def move(self, seen: Any, to: SeriesState, **values: Any) -> Any:  # type: ignore[override]
        moved = super().move(seen, to, **values)
        if moved is not None and to is SeriesState.SETTLED and values["actor"] == "completion":
            self._decided(seen.uid, values["detail"]["verdict"])
        return moved


class _Unheard:
    def set(self) -> None:
        pass

    def clear(self) -> None:
        pass


def _tell(event: SeriesEvent) -> list[NewDelivery]:
    payload = {"series": event.series_uid, "occasion": event.occasion}
    return [NewDelivery(event.key("t"), "t", str(event.event_type), event.revision, payload)]


def in_order(world: World, decided: dict[str, float]) -> World:
    """The same instances in the end, but nothing went wrong on the way.

    What was said of a series after its last decision is said after it here too.
    """
    final: dict[tuple[str, str], list[InstanceFacts]] = {}
    for stream in world.streams:
        for _, uid, item in stream.items:
            versions = final.setdefault((uid, item.uid), [])
            if item not in versions:
                versions.append(item)
    ordered = sorted(final.items(), key=lambda entry: (entry[0][0], entry[1][0].number or 0))
    items = [(START + 0.001, uid, item) for (uid, _), versions in ordered for item in versions]
    stream = replace(
        world.streams[0],
        items=items,
        opened=START,
        ended=START + 0.002,
        end=AssociationEnd.RELEASED,
    )
    statements = [
        (uid, replace(said, at=START + (1e6 if said.at > decided.get(uid, 0.0) else 0.003)))
        for uid, said in world.statements
    ]
    return replace(
        world,
        streams=[stream],
        statements=statements,
        restarts=[],
        cut=0.0,
        judging=0.0,
        job_seconds=0.0,
    )
