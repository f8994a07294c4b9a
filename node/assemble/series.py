"""From the headers of one series to its volumes: sort, validate, merge, transform."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from node.assemble.frames.model import (
    FIELD_MAP,
    IMAGINARY,
    PHASE,
    REAL,
    FrameHeader,
    InstanceHeader,
)
from node.assemble.order.fourth_axis import Timeline, arrange
from node.assemble.space import Matrix, canonical_affine, canonical_orientation, lps_to_ras
from node.assemble.stacks.geometry import (
    DEFAULT_SPACING_MM,
    Points,
    check_spacing,
    even_places,
    residual_limit,
    residuals,
    stack_affine,
)
from node.assemble.stacks.interleaved import find_split_volumes
from node.assemble.stacks.outliers import find_outliers
from node.assemble.stacks.slice_sorting import Piece, Stack, stacks_of, usable
from node.core.errors import AssemblyError, Reason

_ECHO_TIME_DECIMALS: Final = 1
"""Echo times in ms that agree to this many decimals are one echo."""
KIND_SUFFIX: Final = {
    PHASE: "_ph",
    REAL: "_real",
    IMAGINARY: "_imaginary",
    FIELD_MAP: "_fieldmaphz",
}


@dataclass(frozen=True)
class LeftOut:
    """An instance that is in no volume, and why."""

    sop_instance_uid: str
    reason: str


@dataclass(frozen=True)
class VolumePlan:
    """One volume to be written: where every voxel comes from and where it lies.

    Attributes:
        grid: [t][k] the frame of each slice, k along the stack's normal (row x column).
        lps: (4, 4) voxel (column, row, k) -> LPS mm.
        affine: (4, 4) voxel -> RAS mm of the array as written.
        orientation: (3, 2) DICOM axes (column, row, k) -> axes of the array as written.
        shape: (i, j, k) or (i, j, k, t) as written.
        residual_mm: the largest distance of a frame's corner from where the affine puts it.
        defined_by: the attribute that ordered the 4th axis.
        suffix: distinguishes its file name from other volumes of the series, such as `_e2`.
        left_out: instances that belong to the volume but are not in it.
        places: where each slice lies on the grid of the affine, if that is not simply 0, 1, 2 …;
            such a volume has to be interpolated before it is written (`regrid`).
        resampled: how the voxels were interpolated; empty if they were not.
        echo: number of the echo, from 1, if the series has several.
    """

    grid: tuple[tuple[Piece, ...], ...]
    lps: Matrix
    affine: Matrix
    orientation: Matrix
    shape: tuple[int, ...]
    residual_mm: float
    defined_by: str
    suffix: str = ""
    left_out: tuple[LeftOut, ...] = ()
    places: tuple[float, ...] = ()
    resampled: tuple[str, ...] = ()
    echo: int | None = None

    @property
    def first(self) -> Piece:
        """The first slice of the first volume."""
        return self.grid[0][0]


@dataclass(frozen=True)
class SeriesPlan:
    """The volumes and refusals of a series.

    Attributes:
        volumes: the volumes that can be trusted, in a stable order.
        refusals: why other frames make no volume.
        left_out: instances that were dropped without harm, such as identical duplicates.
    """

    volumes: tuple[VolumePlan, ...] = ()
    refusals: tuple[AssemblyError, ...] = ()
    left_out: tuple[LeftOut, ...] = field(default=())


def plan(
    headers: Sequence[InstanceHeader], *, even_out: bool = False, merge: bool = False
) -> SeriesPlan:
    """Decide which volumes the instances of one series make.

    The result does not depend on the order of the headers.

    Args:
        headers: one for each instance; several with one SOP Instance UID are refused, as only the
            caller knows their pixels and can distinguish copies from conflicts.
        even_out: interpolate slices at unequal steps instead of refusing them.
        merge: do not separate frames by what they show, only by size and position.

    Returns:
        the volumes, and a refusal for every frame that is in none of them.
    """
    headers, refusals = _without_conflicts(headers)
    pieces, unusable = usable(headers)
    refusals += unusable
    volumes: list[VolumePlan] = []
    try:
        stacks = stacks_of(pieces, merge=merge)
    except AssemblyError as error:
        stacks = []
        refusals.append(error)
    made = [_made(stack, even_out=even_out) for stack in stacks]
    apart = find_split_volumes(stacks) | find_outliers(stacks, [_has_gap(one) for one in made])
    for index, one in enumerate(made):
        outcome = apart.get(index, one)
        if isinstance(outcome, AssemblyError):
            refusals.append(outcome)
        else:
            volumes.append(outcome)
    volumes.sort(key=_stable_order)
    return SeriesPlan(tuple(_named(volumes)), tuple(refusals))


def _without_conflicts(
    headers: Sequence[InstanceHeader],
) -> tuple[list[InstanceHeader], list[AssemblyError]]:
    counts = Counter(header.identity for header in headers)
    doubled = tuple(sorted(uid for (uid, _), count in counts.items() if count > 1))
    if not doubled:
        return list(headers), []
    error = AssemblyError(
        Reason.DUPLICATE_POSITION,
        f"Different images have the same SOP Instance UID ({len(doubled)} UIDs, first "
        f"{doubled[0]}). Find out which images are right, and send them under UIDs of their own.",
        doubled,
    )
    return [header for header in headers if counts[header.identity] == 1], [error]


def _made(stack: Stack, *, even_out: bool) -> VolumePlan | AssemblyError:
    try:
        return _volume(stack, even_out=even_out)
    except AssemblyError as error:
        return error


def _has_gap(made: VolumePlan | AssemblyError) -> bool:
    return isinstance(made, AssemblyError) and made.reason is Reason.MISSING_SLICE


def _volume(stack: Stack, *, even_out: bool) -> VolumePlan:
    """Make a volume of a stack, or refuse it by name."""
    timeline = arrange(stack)
    uids = stack.uids
    places = _places(stack, uids, even_out=even_out)
    lps, residual = _fit(stack, timeline, places, uids)
    frame = stack.pieces[0].frame
    slices = len(stack.distances)
    spatial = (frame.columns, frame.rows, slices)
    ras = lps_to_ras(lps)
    orientation = canonical_orientation(ras)
    written = [0, 0, 0]
    for axis in range(3):
        written[int(orientation[axis, 0])] = spatial[axis]
    times = len(timeline.grid)
    return VolumePlan(
        grid=tuple(tuple(stack.pieces[index] for index in row) for row in timeline.grid),
        lps=lps,
        affine=canonical_affine(ras, spatial, orientation),
        orientation=orientation,
        shape=(*written, times) if times > 1 else tuple(written),
        residual_mm=residual,
        defined_by=timeline.defined_by,
        left_out=tuple(
            LeftOut(stack.pieces[index].uid, "of an incomplete last volume")
            for index in timeline.left_out
        ),
        places=() if (np.diff(places) == 1).all() else tuple(places.tolist()),
    )


def _places(stack: Stack, uids: tuple[str, ...], *, even_out: bool) -> Points:
    """Return the place of every slice on the volume's grid: 0, 1, 2 … if slices are even."""
    try:
        check_spacing(stack.distances, uids, _thickness(stack))
    except AssemblyError as error:
        if not even_out or error.reason is not Reason.UNEQUAL_SPACING:
            raise
        return even_places(stack.distances, uids)
    return np.arange(len(stack.distances), dtype=np.float64)


def _thickness(stack: Stack) -> Points:
    """Return (number of positions,) Slice Thickness, mm; NaN where it is not stated."""
    found = np.full(len(stack.distances), np.nan)
    for piece, k in zip(stack.pieces, stack.slices.tolist(), strict=True):
        if piece.frame.thickness is not None:
            found[k] = piece.frame.thickness
    return found


def _fit(
    stack: Stack, timeline: Timeline, places: Points, uids: tuple[str, ...]
) -> tuple[Matrix, float]:
    """Fit the affine to the first volume and measure every frame of all volumes against it."""
    first = stack.planes.take(timeline.grid[0])
    frame = stack.pieces[0].frame
    lps = stack_affine(first, frame.between or frame.thickness or DEFAULT_SPACING_MM)
    if len(places) > 1:
        lps[:3, 2] *= (len(places) - 1) / places[-1]
    used = [index for row in timeline.grid for index in row]
    measured = residuals(stack.planes.take(used), places[stack.slices[used]], lps)
    worst = float(measured.max())
    limit = residual_limit(float(np.linalg.norm(lps[:3, 2])))
    if worst > limit:
        raise AssemblyError(
            Reason.RESIDUAL_TOO_LARGE,
            f"Frames lie up to {worst:.3f} mm away from any regular grid, and rounding explains at "
            f"most {limit:.3f} mm. Image Position or Image Orientation (Patient) is wrong in some "
            "of them: send the series again from its original source.",
            uids,
        )
    return lps, worst


def _stable_order(volume: VolumePlan) -> tuple[object, ...]:
    header, frame = volume.first
    return (
        header.series_number or 0,
        frame.echo or 0,
        frame.echo_time or 0.0,
        frame.kind,
        frame.derived,
        min(piece.frame.number or 0 for row in volume.grid for piece in row),
        header.sop_instance_uid,
        frame.index,
    )


def _named(volumes: Sequence[VolumePlan]) -> list[VolumePlan]:
    """Give the volumes of a series distinct suffixes, as dcm2niix names them."""
    echoes: dict[object, set[tuple[float, float]]] = {}
    for volume in volumes:
        header, frame = volume.first
        echoes.setdefault(header.series_number, set()).add(_echo(frame))
    named: list[VolumePlan] = []
    taken: Counter[tuple[object, str]] = Counter()
    for volume in volumes:
        header, frame = volume.first
        suffix, among = "", sorted(echoes[header.series_number])
        echo = (frame.echo or among.index(_echo(frame)) + 1) if len(among) > 1 else None
        suffix += f"_e{echo}" if echo is not None else ""
        suffix += KIND_SUFFIX.get(frame.kind, "")
        suffix += f"_{frame.derived}" if frame.derived else ""
        key = (header.series_number, suffix)
        repeat = taken[key]
        taken[key] += 1
        named.append(replace(volume, suffix=suffix + _letters(repeat), echo=echo))
    return named


def _echo(frame: FrameHeader) -> tuple[float, float]:
    """Return the key that distinguishes echoes: their number, or else their time in ms.

    Images that were computed from several echoes have no echo time and come last.
    """
    if frame.echo is not None:
        return float(frame.echo), 0.0
    return 0.0, round(frame.echo_time or math.inf, _ECHO_TIME_DECIMALS)


def _letters(repeat: int) -> str:
    """Return nothing, then a, b … z, aa, ab …"""
    text = ""
    while repeat > 0:
        repeat -= 1
        text = chr(ord("a") + repeat % 26) + text
        repeat //= 26
    return text
