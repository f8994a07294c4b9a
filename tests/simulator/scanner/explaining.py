"""A world and its plan as tables, for the person who has to find what is wrong."""

from __future__ import annotations

from node.assemble.series import SeriesPlan
from tests.simulator.scanner.running import planned
from tests.simulator.scanner.truth import Frame, World
from tests.simulator.scanner.worlds import make_world

_SAME_FOR_ALL = "the same in all frames"


def explain(seed: int) -> str:
    """Return everything about a world: how it was made, its frames, and what became of them."""
    world = make_world(seed)
    made, wrong = planned(world)
    lines = [
        f"world {seed}: {world.kind}, {world.modality}, {world.vendor or 'no known vendor'}, "
        f"{world.form}, {'defined' if world.defined else 'not defined'}",
        *(f"  {note}" for note in world.notes),
        *_volumes(world),
        *_frames(world),
        *_plan(world, made),
        "silently wrong:" if wrong else "nothing is silently wrong",
        *(f"  {complaint}" for complaint in wrong),
    ]
    return "\n".join(lines)


def _volumes(world: World) -> list[str]:
    return [
        f"  volume {one.number}: {len(one.parts)} times of {one.slices} slices, "
        f"{'ordered' if one.ordered else 'a set'}, parts {one.parts}, "
        f"step {tuple(round(value, 3) for value in one.grid.step)}"
        for one in world.volumes
    ]


def _frames(world: World) -> list[str]:
    arrived = {one.uid for one in world.sent}
    every = [(one, frame) for one in world.made for frame in one.frames]
    every += [(one, frame) for one in world.sent if one.copy_of for frame in one.frames]
    every.sort(key=lambda pair: (pair[1].cell, pair[0].uid))
    names = sorted({name for _, frame in every for name in frame.said})
    same = {n for n in names if len({str(frame.said.get(n)) for _, frame in every}) == 1}
    shared = every[0][1].said
    lines = [f"{_SAME_FOR_ALL}: " + ", ".join(f"{n}={shared[n]}" for n in sorted(same))]
    lines.append(f"where the rest {[n for n in names if n not in same]}")
    for one, frame in every:
        said = [str(frame.said.get(name, "-")) for name in names if name not in same]
        uid = one.uid.rsplit(".", 2 if one.copy_of else 1)[1]
        state = "" if one.uid in arrived else "  LOST"
        state += "  COPY" if one.copy_of else ""
        lines.append(f"  {_cell(frame)} {uid}:{frame.index} {frame.position} {said}{state}")
    return lines


def _cell(frame: Frame) -> str:
    return f"v{frame.volume} t{frame.time} k{frame.slice}"


def _plan(world: World, made: SeriesPlan) -> list[str]:
    frames = {(f.uid, f.index): f for one in world.sent for f in one.frames}
    lines = []
    for number, volume in enumerate(made.volumes):
        lines.append(
            f"plan {number}{volume.suffix}: by {volume.defined_by!r}, "
            f"residual {volume.residual_mm:.3f} mm, left out {len(volume.left_out)}"
        )
        for row in volume.grid:
            cells = [_cell(frames[piece.uid, piece.frame.index]) for piece in row]
            lines.append("    " + " | ".join(cells))
    refused = [f"refused: {one} ({len(one.instances)} instances)" for one in made.refusals]
    return lines + refused
