"""Random worlds: series, senders, and everything that goes wrong on the way, by a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from node.completion.facts import Count, FrameFacts, InstanceFacts, Source, Statement
from node.core.records import AssociationEnd
from tests.unit.completion.builders import AXIAL, stack

START = 1000.0
LATE = (3.0, 20.0, 100.0, 2 * 86400.0)


@dataclass(frozen=True)
class Truth:
    """A series as its scanner made it, and what of it will ever be sent."""

    uid: str
    instances: tuple[InstanceFacts, ...]
    sent: tuple[InstanceFacts, ...]
    announces: bool

    @property
    def verdict(self) -> str:
        """What the node has to find in the end, where there is no doubt; else empty."""
        if len(self.sent) == len(self.instances):
            return "not incomplete"
        if self.announces:
            return "incomplete"
        numbers = sorted(item.number or 0 for item in self.sent)
        steps = [after - before for before, after in pairwise(numbers)]
        holes = sum(steps) - len(steps)
        if len(numbers) < 3 or not holes:
            return ""
        places = Counter(item.frames[0].position for item in self.sent)
        one_an_instance = len(places) == len(self.sent) or len(self.instances[0].frames) > 1
        if one_an_instance:
            return "incomplete" if min(steps) == 1 and holes < len(numbers) else ""
        return "incomplete" if len(set(places.values())) > 1 else ""

    @property
    def stopped(self) -> bool:
        """Whether what comes is what a scan of several volumes leaves that somebody stopped."""
        numbers = {item.number or 0 for item in self.sent}
        sent = {item.frames[0].time or 0 for item in self.sent}
        lost = {item.frames[0].time or 0 for item in self.instances if item not in self.sent}
        last_times = 1 < min(lost, default=0) >= max(sent)
        places = {frame.position for item in self.instances for frame in item.frames}
        images = sum(len(item.frames) for item in self.instances)
        in_order = max(numbers) - min(numbers) + 1 == len(numbers)
        return images > len(places) and (in_order or last_times)


@dataclass
class Stream:
    """What one association brings."""

    items: list[tuple[float, str, InstanceFacts]]
    opened: float
    ended: float
    end: AssociationEnd


@dataclass
class World:
    """Everything that will happen."""

    seed: int
    series: dict[str, Truth]
    streams: list[Stream]
    statements: list[tuple[str, Statement]]
    restarts: list[float]
    cut: float  # the chance that the power goes out at an act
    job_seconds: float
    conflicts: int = 0
    judging: float = 0.5  # the chance that what comes next comes while a series is judged
    rng: Random = field(default_factory=Random)


def make_world(seed: int) -> World:
    """The world of a seed."""
    rng = Random(seed)
    truths = {f"1.5.{n}": _truth(rng, f"1.5.{n}") for n in range(rng.choice((1, 1, 2, 3)))}
    streams: list[Stream] = []
    together = rng.random() < 0.4
    now = START
    if together:  # interleaved on one association
        now = _send(rng, streams, [(t.uid, i) for t in truths.values() for i in t.sent], now, True)
    else:
        for truth in truths.values():
            items = [(truth.uid, item) for item in truth.sent]
            if rng.random() < 0.3:
                rng.shuffle(items)
            now = _send(rng, streams, items, now, False)
    conflicts = _corrections(rng, streams, truths)
    last = max(stream.ended for stream in streams)
    return World(
        seed=seed,
        series=truths,
        streams=streams,
        statements=_statements(rng, truths, streams),
        restarts=sorted(rng.uniform(START, last + 80) for _ in range(rng.choice((0, 0, 1, 3)))),
        cut=rng.choice((0.0, 0.0, 0.02, 0.1)),
        job_seconds=rng.choice((0.0, 0.5, 8.0, 90.0)),
        conflicts=conflicts,
        rng=Random(seed + 1),
    )


def _truth(rng: Random, uid: str) -> Truth:
    instances, announces = rng.choice((_stack, _grid, _grid, _mosaics, _echoes))(rng)
    instances = [item._replace(uid=f"{uid}.{item.number}") for item in instances]
    sent = instances[:]
    if rng.random() < 0.3:  # some will never come
        if rng.random() < 0.5:
            del sent[rng.randrange(1, len(sent)) :]
        else:
            lost = rng.sample(sent, rng.randint(1, max(1, len(sent) // 4)))
            sent = [item for item in sent if item not in lost]
    return Truth(uid, tuple(instances), tuple(sent), announces)


def _stack(rng: Random) -> tuple[list[InstanceFacts], bool]:
    slices, announces = rng.randint(3, 14), rng.random() < 0.5
    counts = {Count.IMAGES_IN_ACQUISITION: slices} if announces else {}
    return stack(slices, step=rng.choice((0.5, 2.5, 6.0)), announced=counts), announces


def _grid(rng: Random) -> tuple[list[InstanceFacts], bool]:
    slices, times = rng.randint(3, 6), rng.randint(2, 5)
    counts = rng.choice(
        (
            {},
            {Count.IMAGES_IN_ACQUISITION: slices * times, Count.TEMPORAL_POSITIONS: times},
            {
                Count.IMAGES_IN_ACQUISITION: slices,
                Count.TEMPORAL_POSITIONS: times,
                Count.LOCATIONS: slices,
            },
        )
    )
    by_slice = rng.random() < 0.3
    return stack(slices, times=times, slice_by_slice=by_slice, announced=counts), bool(counts)


def _mosaics(rng: Random) -> tuple[list[InstanceFacts], bool]:
    frames = tuple(FrameFacts(64, 64, AXIAL, (0.0, 0.0, 3.0 * k)) for k in range(4))
    count = rng.randint(3, 12)
    return [InstanceFacts("", n, n, False, {}, frames) for n in range(1, count + 1)], False


def _echoes(rng: Random) -> tuple[list[InstanceFacts], bool]:
    return stack(rng.randint(3, 7), echoes=2), False


def _send(
    rng: Random,
    streams: list[Stream],
    items: list[tuple[str, InstanceFacts]],
    now: float,
    interleaved: bool,
) -> float:
    """Plan the associations that bring `items`, whatever it takes; returns when they are done."""
    if interleaved:
        rng.shuffle(items)
    late: list[tuple[str, InstanceFacts]] = []
    if rng.random() < 0.3 and len(items) > 1:
        late = rng.sample(items, rng.randint(1, max(1, len(items) // 5)))
        items = [item for item in items if item not in late]
    pace = rng.choice((0.01, 0.2, 2.0, 7.0))
    for chunk in _chunks(rng, items):
        rest = chunk
        while rest:
            aborted = rng.random() < 0.2
            brought = rest[: rng.randint(0, len(rest))] if aborted else rest
            end = (
                rng.choice((AssociationEnd.ABORTED, AssociationEnd.LOST))
                if aborted
                else (AssociationEnd.RELEASED)
            )
            now = _stream(rng, streams, brought, now, pace, end)
            # A sender tries again with what it thinks has not arrived, or with everything.
            rest = (chunk if rng.random() < 0.5 else rest[len(brought) :]) if aborted else []
            now += rng.choice((0.1, 1.0, 30.0, 200.0))
    if late:
        now = _stream(rng, streams, late, now + rng.choice(LATE), pace, AssociationEnd.RELEASED)
    if rng.random() < 0.2:  # all of it once more
        now = _stream(rng, streams, items, now + rng.choice(LATE), 0.01, AssociationEnd.RELEASED)
    return now + rng.choice((0.0, 1.0, 60.0))


def _chunks(
    rng: Random, items: list[tuple[str, InstanceFacts]]
) -> list[list[tuple[str, InstanceFacts]]]:
    if rng.random() < 0.1:
        return [[item] for item in items]  # an association for each slice
    cuts = sorted(rng.randrange(len(items) + 1) for _ in range(rng.choice((0, 0, 1, 2))))
    edges = [0, *cuts, len(items)]
    return [items[a:b] for a, b in pairwise(edges) if b > a]


def _stream(
    rng: Random,
    streams: list[Stream],
    items: list[tuple[str, InstanceFacts]],
    now: float,
    pace: float,
    end: AssociationEnd,
) -> float:
    opened, brought = now, []
    for uid, item in items:
        now += rng.expovariate(1 / pace)
        if rng.random() < 0.02:
            now += rng.choice((10.0, 70.0, 4000.0))
        brought.append((now, uid, item))
        if rng.random() < 0.05:
            brought.append((now, uid, item))
    ended = now + rng.choice((0.0, 0.1, 2.0, 100.0, 3 * 3600.0))
    streams.append(Stream(brought, opened, ended, end))
    return ended if rng.random() < 0.7 else now


def _corrections(rng: Random, streams: list[Stream], truths: dict[str, Truth]) -> int:
    """Send an instance again with other content."""
    if rng.random() > 0.1:
        return 0
    truth = rng.choice(list(truths.values()))
    item = rng.choice(truth.sent)._replace(acquisition=77)
    at = max(stream.ended for stream in streams) + rng.choice(LATE)
    streams.append(Stream([(at, truth.uid, item)], at, at, AssociationEnd.RELEASED))
    return 1


def _statements(
    rng: Random, truths: dict[str, Truth], streams: list[Stream]
) -> list[tuple[str, Statement]]:
    """What senders and scanners say; true, but perhaps early, partial or of a batch."""
    made = []
    last = max(stream.ended for stream in streams)
    sources: tuple[Callable[[Truth], Statement], ...] = (
        lambda _t: Statement(Source.MPPS, "CT1", 0.0, final=False),
        lambda t: Statement(Source.MPPS, "CT1", 0.0, uids=frozenset(i.uid for i in t.instances)),
        lambda t: Statement(
            Source.INSTANCE_AVAILABILITY, "P", 0.0, uids=frozenset(i.uid for i in t.sent)
        ),
        lambda t: Statement(Source.SENDER_COUNT, "PACS", 0.0, count=len(t.sent)),
        lambda t: Statement(Source.SENDER_COUNT, "PACS", 0.0, count=rng.randint(1, len(t.sent))),
        lambda t: Statement(
            Source.COMMITMENT,
            "CT1",
            0.0,
            uids=frozenset(i.uid for i in t.sent[: rng.randint(1, len(t.sent))]),
        ),
    )
    for truth in truths.values():
        for source in rng.sample(sources, rng.choice((0, 0, 1, 2))):
            at = rng.uniform(START, last + 30)
            said = source(truth)
            made.append(
                (
                    truth.uid,
                    Statement(said.source, said.by, at, said.final, said.count, said.uids),
                )
            )
    return made
