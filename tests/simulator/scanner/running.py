"""Worlds through the real assembly, and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import reduce

from node.assemble.frames.headers import describe
from node.assemble.frames.model import InstanceHeader
from node.assemble.series import SeriesPlan, plan
from node.dicom import scan
from tests.simulator.scanner.files import convert
from tests.simulator.scanner.judge import judge, kinds
from tests.simulator.scanner.truth import World
from tests.simulator.scanner.worlds import FILES_EVERY, make_world
from tests.simulator.scanner.writing import instance_bytes

_EXPLICIT = "1.2.840.10008.1.2.1"
_CHUNK = 250


@dataclass
class Tally:
    """What became of some worlds.

    Attributes:
        refusals: worlds by the reasons for which something of them was refused.
        overcautious: seeds of worlds that were refused though they are defined, by kind of scan.
        wrong: for each seed what is silently wrong.
    """

    worlds: int = 0
    defined: int = 0
    right: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    overcautious: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, list[str]] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.worlds + other.worlds,
            self.defined + other.defined,
            self.right + other.right,
            self.refusals + other.refusals,
            self.overcautious | other.overcautious,
            self.wrong | other.wrong,
        )

    @property
    def caution(self) -> float:
        """The part of defined worlds of which something was refused."""
        return len(self.overcautious) / max(1, self.defined)


def headers_of(world: World) -> list[InstanceHeader]:
    """Return the headers of a world's instances as they arrive, each UID once."""
    once = {one.uid: one for one in world.sent}
    return [
        describe(scan(instance_bytes(world, one, full=False), _EXPLICIT).elements)
        for one in once.values()
    ]


def planned(world: World) -> tuple[SeriesPlan, list[str]]:
    """Return what assembly makes of a world, and what of that is silently wrong."""
    if world.seed % FILES_EVERY == 0:
        return convert(world)
    made = plan(headers_of(world))
    return made, judge(world, made)


def run(seeds: Iterable[int]) -> Tally:
    """Put worlds through assembly."""
    tally = Tally()
    for seed in seeds:
        world = make_world(seed)
        made, wrong = planned(world)
        tally.worlds += 1
        tally.defined += world.defined
        reasons = sorted({str(error.reason) for error in made.refusals})
        if wrong:
            tally.wrong[seed] = wrong
        elif not reasons:
            tally.right += 1
        else:
            tally.refusals["+".join(reasons)] += 1
            if world.defined:
                tally.overcautious[seed] = f"{world.kind}: {'+'.join(reasons)}"
    return tally


def run_many(first: int, count: int, processes: int) -> Tally:
    """Put worlds through assembly in several processes."""
    chunks = [
        range(start, min(start + _CHUNK, first + count))
        for start in range(first, first + count, _CHUNK)
    ]
    if processes == 1:
        return reduce(Tally.__add__, map(run, chunks), Tally())
    with ProcessPoolExecutor(processes) as pool:
        return reduce(Tally.__add__, pool.map(run, chunks), Tally())


def by_kind(tally: Tally) -> Counter[str]:
    """Count silent mistakes by kind of scan and of mistake."""
    return Counter(
        f"{make_world(seed).kind}: {', '.join(kinds(wrong))}" for seed, wrong in tally.wrong.items()
    )
