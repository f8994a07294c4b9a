"""Series as plain values: stacks of slices, times, echoes; whole, or with parts taken out."""

from __future__ import annotations

from collections.abc import Iterable

from node.completion.facts import Count, FrameFacts, InstanceFacts
from node.core.records import Arrival, AssociationEnd

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def image(
    number: int | None,
    z: float,
    *,
    uid: str = "",
    orientation: tuple[float, ...] = AXIAL,
    time: int | None = None,
    echo: float | None = None,
    kind: str = "",
    acquisition: int | None = 1,
    derived: bool = False,
    announced: dict[Count, int] | None = None,
) -> InstanceFacts:
    """A single-frame image at a place along z (for axial ones)."""
    frame = FrameFacts(64, 64, orientation, (-100.0, -100.0, z), kind, echo, time)
    return InstanceFacts(
        uid or f"1.2.{number}.{z:g}.{time}.{echo}.{kind}",
        number,
        acquisition,
        derived,
        announced or {},
        (frame,),
    )


def stack(
    slices: int,
    *,
    step: float = 2.5,
    times: int = 1,
    echoes: int = 1,
    slice_by_slice: bool = False,
    announced: dict[Count, int] | None = None,
) -> list[InstanceFacts]:
    """Axial slices at 0, step, 2·step …, numbered from 1, volume after volume by default."""
    cells = [
        (time, echo, place)
        for time in range(times)
        for echo in range(echoes)
        for place in range(slices)
    ]
    if slice_by_slice:
        cells.sort(key=lambda cell: cell[2])
    return [
        image(
            number,
            place * step,
            time=time + 1 if times > 1 else None,
            echo=10.0 * (echo + 1) if echoes > 1 else None,
            announced=announced,
        )
        for number, (time, echo, place) in enumerate(cells, start=1)
    ]


def without(instances: list[InstanceFacts], *numbers: int) -> list[InstanceFacts]:
    """The series without the instances of these numbers."""
    return [instance for instance in instances if instance.number not in numbers]


def arrival(
    end: AssociationEnd = AssociationEnd.RELEASED,
    *,
    first: float = 0.0,
    last: float = 10.0,
    ended: float | None = 11.0,
    ae: str = "CT1",
    instances: int = 1,
) -> Arrival:
    """An association that brought something."""
    at = None if end is AssociationEnd.OPEN else ended
    return Arrival(ae, "10.0.0.1", end, at, first, last, instances)


def uids(instances: Iterable[InstanceFacts]) -> frozenset[str]:
    """The SOP Instance UIDs."""
    return frozenset(instance.uid for instance in instances)
