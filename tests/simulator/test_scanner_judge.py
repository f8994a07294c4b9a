"""The scanner simulator itself: its judge, its encoder, and what its worlds are like."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from node.assemble.series import LeftOut, SeriesPlan, VolumePlan
from node.assemble.stacks.slice_sorting import Piece
from node.core.errors import AssemblyError, Reason
from tests.simulator.scanner.encoding import part10
from tests.simulator.scanner.explaining import explain
from tests.simulator.scanner.judge import judge, kinds
from tests.simulator.scanner.running import headers_of
from tests.simulator.scanner.truth import Grid, Volume, World
from tests.simulator.scanner.worlds import FILES_EVERY, make_world
from tests.simulator.scanner.writing import instance_bytes, sop_class

SEEDS = [seed for seed in range(1, 400) if seed % FILES_EVERY]
Row = tuple[Piece, ...]


def lps_of(grid: Grid) -> np.ndarray:
    """(4, 4) voxel (column, row, k) -> LPS mm."""
    found = np.eye(4)
    found[:3, 0] = np.array(grid.row) * grid.spacing[1]
    found[:3, 1] = np.array(grid.column) * grid.spacing[0]
    found[:3, 2] = grid.step
    found[:3, 3] = grid.origin
    return found


def volume_of(grid: tuple[Row, ...], lps: np.ndarray, left: tuple[str, ...] = ()) -> VolumePlan:
    return VolumePlan(
        grid=grid,
        lps=lps,
        affine=lps,
        orientation=np.eye(3, 2),
        shape=(1, 1, len(grid[0]), len(grid)),
        residual_mm=0.0,
        defined_by="the truth",
        left_out=tuple(LeftOut(uid, "of an incomplete last volume") for uid in left),
    )


def pieces_of(world: World) -> dict[tuple[int, int, int], Piece]:
    """Every frame that came, by volume, time and slice."""
    frames = {(f.uid, f.index): f for one in world.sent for f in one.frames}
    return {
        frames[header.sop_instance_uid, frame.index].cell: Piece(header, frame)
        for header in headers_of(world)
        for frame in header.frames
    }


def rows_of(world: World, volume: Volume) -> tuple[Row, ...]:
    pieces = pieces_of(world)
    times = range(len(volume.parts))
    return tuple(tuple(pieces[volume.number, t, k] for k in range(volume.slices)) for t in times)


def right(world: World) -> SeriesPlan:
    volumes = [volume_of(rows_of(world, one), lps_of(one.grid)) for one in world.volumes]
    return SeriesPlan(tuple(volumes))


def is_whole(world: World) -> bool:
    return "lost none" in world.notes


def first_with(wanted: Callable[[World], bool]) -> World:
    for seed in SEEDS:
        world = make_world(seed)
        if is_whole(world) and wanted(world):
            return world
    raise AssertionError("no such world")


def four_by_four(world: World) -> bool:
    (one, *others) = world.volumes
    return not others and one.ordered and len(one.parts) >= 3 and one.slices >= 4


def dynamic() -> World:
    return first_with(lambda world: four_by_four(world) and world.kind == "dynamic")


@pytest.mark.parametrize("seed", SEEDS[::4])
def test_the_truth_is_judged_right(seed: int) -> None:
    world = make_world(seed)
    if is_whole(world):
        assert judge(world, right(world)) == []


def test_slices_upside_down_with_the_affine_that_says_so_are_right() -> None:
    world = dynamic()
    (one,) = world.volumes
    rows = tuple(row[::-1] for row in rows_of(world, one))
    lps = lps_of(one.grid)
    lps[:3, 3] += (one.slices - 1) * lps[:3, 2]
    lps[:3, 2] *= -1
    assert judge(world, SeriesPlan((volume_of(rows, lps),))) == []


def mutated(name: str) -> tuple[World, SeriesPlan]:
    """A plan that is right but for one thing."""
    world = dynamic()
    (one,) = world.volumes
    rows, lps = [list(row) for row in rows_of(world, one)], lps_of(one.grid)
    left: tuple[str, ...] = ()
    if name == "two frames swapped":
        rows[0][1], rows[1][1] = rows[1][1], rows[0][1]
    elif name == "two times swapped":
        rows[0], rows[1] = rows[1], rows[0]
    elif name == "reversed":
        rows.reverse()
    elif name == "mirrored":
        lps[:3, 0] *= -1
    elif name == "slices upside down":
        rows = [row[::-1] for row in rows]
    elif name == "shifted":
        lps[:3, 3] += 1.0
    elif name == "every second slice":
        rows = [row[::2] for row in rows]
        lps[:3, 2] *= 2
    elif name == "a time forgotten":
        del rows[1]
    elif name == "a time left out":
        left = tuple(piece.uid for piece in rows.pop(1))
    elif name == "a frame twice":
        rows[1][0] = rows[0][0]
    volumes = [volume_of(tuple(map(tuple, rows)), lps, left)]
    if name == "halves":
        volumes = [
            volume_of(tuple(tuple(row[:2]) for row in rows), lps),
            volume_of(tuple(tuple(row[2:]) for row in rows), lps_of(moved(one.grid, 2))),
        ]
    elif name == "torn in time":
        volumes = [
            volume_of(tuple(map(tuple, rows[::2])), lps),
            volume_of(tuple(map(tuple, rows[1::2])), lps),
        ]
    return world, SeriesPlan(tuple(volumes))


def moved(grid: Grid, slices: int) -> Grid:
    return replace(grid, origin=grid.at(0, 0, slices))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("two frames swapped", "mixed times"),
        ("two times swapped", "order"),
        ("reversed", "order"),
        ("mirrored", "place"),
        ("slices upside down", "place"),
        ("shifted", "place"),
        ("every second slice", "holes"),
        ("a time forgotten", "nowhere"),
        ("a time left out", "left out"),
        ("a frame twice", "twice"),
        ("halves", "torn"),
        ("torn in time", "torn"),
    ],
)
def test_a_plan_that_is_wrong_in_one_thing_is_judged_wrong(name: str, kind: str) -> None:
    world, made = mutated(name)
    assert kind in kinds(judge(world, made))


def test_frames_of_two_volumes_in_one_are_wrong() -> None:
    world = first_with(lambda world: world.kind == "echoes" and world.volumes[0].slices > 1)
    one, other = ([list(row) for row in rows_of(world, each)] for each in world.volumes[:2])
    one[0][0], other[0][0] = other[0][0], one[0][0]
    made = right(world)
    grids = (tuple(map(tuple, one)), tuple(map(tuple, other)))
    volumes = [volume_of(grid, lps_of(world.volumes[0].grid)) for grid in grids]
    made = SeriesPlan((*volumes, *made.volumes[2:]))
    assert kinds(judge(world, made)) == ["mixed volumes"]


def test_one_volume_for_each_inversion_time_is_right() -> None:
    world = first_with(lambda world: world.kind == "inversion times")
    (one,) = world.volumes
    volumes = [volume_of((row,), lps_of(one.grid)) for row in rows_of(world, one)]
    assert judge(world, SeriesPlan(tuple(volumes))) == []


def test_sets_may_come_in_any_order_and_times_may_not() -> None:
    world = first_with(lambda world: world.kind == "flip angles")
    (one,) = world.volumes
    made = SeriesPlan((volume_of(rows_of(world, one)[::-1], lps_of(one.grid)),))
    assert judge(world, made) == []


def test_a_refusal_is_never_wrong_and_silence_is() -> None:
    world = dynamic()
    uids = tuple(one.uid for one in world.sent)
    error = AssemblyError(Reason.AMBIGUOUS_ORDER, "Nothing says.", uids[:1])
    assert judge(world, SeriesPlan((), (error,))) == []
    assert kinds(judge(world, SeriesPlan())) == ["nowhere"]


def test_a_world_depends_on_its_seed_alone() -> None:
    for seed in SEEDS[:20]:
        one, other = make_world(seed), make_world(seed)
        assert one == other
        assert headers_of(one) == headers_of(other)
        assert explain(seed)


def test_worlds_are_of_all_kinds_and_mostly_defined() -> None:
    worlds = [make_world(seed) for seed in range(1, 1500)]
    counts = Counter(world.kind.split(",")[0] for world in worlds)
    assert len(counts) == 17
    assert min(counts.values()) > 10
    assert {world.form for world in worlds} == {
        "classic", "legacy groups", "enhanced one", "enhanced by volume", "enhanced by frame",
    }  # fmt: skip
    assert sum(world.defined for world in worlds) > 0.5 * len(worlds)
    lost = Counter(world.notes[0] for world in worlds)
    assert min(lost.values()) > 20


def test_the_encoder_writes_what_pydicom_reads() -> None:
    for seed in SEEDS[:40]:
        world = make_world(seed)
        one = world.sent[0]
        body = instance_bytes(world, one, full=True)
        read = pydicom.dcmread(io.BytesIO(part10(sop_class(world), one.uid, body)))
        assert read.SOPInstanceUID == one.uid
        frame = one.frames[0]
        if world.form.startswith("enhanced"):
            groups = read.PerFrameFunctionalGroupsSequence
            assert len(groups) == len(one.frames) == read.NumberOfFrames
            position = groups[0].PlanePositionSequence[0].ImagePositionPatient
        else:
            position = read.ImagePositionPatient
        assert [float(value) for value in position] == pytest.approx(frame.position)
        rows, columns = world.volumes[frame.volume].grid.size
        assert read.pixel_array.size == rows * columns * len(one.frames)
