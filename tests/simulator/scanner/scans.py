"""What a scanner measures: the volumes of a series, their fourth axis, and when each begins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from tests.simulator.scanner.places import along, normal_of, random_grid, turned_grid, unit
from tests.simulator.scanner.scan import Scan
from tests.simulator.scanner.truth import Grid, Said

MOST_FRAMES: Final = 60


def random_scan(rng: Random, modality: str, vendor: str) -> Scan:
    """Return a series of a modality."""
    makers: dict[str, tuple[Callable[[Random, str], Scan], ...]] = {
        "MR": (
            _plain, _dynamic, _dynamic, _dynamic, _echoes, _components, _diffusion, _diffusion,
            _cine, _cine, _inversions, _flips, _labels, _groups, _gated,
        ),
        "CT": (_plain, _tilted, _dynamic, _dynamic, _phases, _phases, _recons, _recons, _overlap),
        "PT": (_plain, _beds, _growing, _growing, _phases),
    }  # fmt: skip
    scan = rng.choice(makers[modality])(rng, vendor)
    most = max(1, MOST_FRAMES // (max(scan.slices) * len(scan.slices)))
    if scan.times > most:
        scan.starts = scan.starts[:most]
        scan.parts = [row[:most] for row in scan.parts]
        scan.said = [row[:most] for row in scan.said]
    return scan


def _make(
    rng: Random, kind: str, axis: str, said: list[list[Said]], *, tilted: bool = False
) -> Scan:
    """Return a scan with as many volumes and times as there are attributes of them."""
    times = len(said[0])
    every = rng.choice((0.3, 0.8, 1.5, 2.0, 3.0, 10.0, rng.uniform(0.5, 6.0)))
    slices = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, rng.randint(3, 8), rng.randint(3, 8)))
    grid = random_grid(rng, tilted=tilted)
    return Scan(
        kind=kind,
        axis=axis,
        parts=[[() for _ in row] for row in said],
        said=said,
        starts=[every * t for t in range(times)],
        slices=[slices] * len(said),
        grids=[grid] * len(said),
    )


def _plain(rng: Random, _vendor: str) -> Scan:
    return _make(rng, "plain", "none", [[{}]])


def _tilted(rng: Random, _vendor: str) -> Scan:
    times = rng.choice((1, 1, 2, 3))
    axis = "time" if times > 1 else "none"
    return _make(rng, "tilted", axis, [[{} for _ in range(times)]], tilted=True)


def _dynamic(rng: Random, _vendor: str) -> Scan:
    return _make(rng, "dynamic", "time", [[{} for _ in range(rng.randint(2, 6))]])


def _gated(rng: Random, _vendor: str) -> Scan:
    """Return dynamics of which every image is triggered after the same delay."""
    said: list[Said] = [{} for _ in range(rng.randint(2, 6))]
    scan = _make(rng, "gated dynamic", "time", [said])
    scan.starts = [rng.uniform(0.9, 1.1) * t for t in range(scan.times)]
    return scan


def _echoes(rng: Random, _vendor: str) -> Scan:
    """Return echoes, volumes of their own, each perhaps a dynamic series."""
    times = rng.choice((1, 1, 2, 3, 4))
    first, between = rng.choice((2.3, 4.6, 10.0, 12.345)), rng.choice((2.3, 4.92, 20.0))
    numbered = rng.random() < 0.7
    said: list[list[Said]] = []
    for echo in range(rng.randint(2, 3)):
        one: Said = {"EchoTime": first + between * echo}
        if numbered:
            one["EchoNumbers"] = echo + 1
        said.append([dict(one) for _ in range(times)])
    return _make(rng, "echoes", "time" if times > 1 else "none", said)


def _components(rng: Random, vendor: str) -> Scan:
    """Return magnitude and phase."""
    times = rng.choice((1, 1, 2, 3, 4))
    said: list[list[Said]] = []
    for number, kind in enumerate("MP"):
        if vendor == "GE":
            one: Said = {"GEImageKind": number}
        else:
            one = {"Component": kind}
        said.append([dict(one) for _ in range(times)])
    return _make(rng, "magnitude and phase", "time" if times > 1 else "none", said)


def _diffusion(rng: Random, _vendor: str) -> Scan:
    """Return diffusion weightings, each once or twice."""
    weightings: list[tuple[float, tuple[float, float, float] | None]] = [(0.0, None)]
    for b in rng.choice(((1000.0,), (500.0, 1000.0))):
        for _ in range(rng.randint(1, 3)):
            direction = unit((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1)))
            known = [d for _, d in weightings if d is not None]
            if all(math.dist(direction, d) > 0.3 for d in known):
                weightings.append((b, direction))
    weightings = weightings[:6]
    partitioned = True
    if rng.random() < 0.25:
        weightings, partitioned = weightings[:3] * 2, False
    said: list[Said] = []
    for b, gradient in weightings:
        one: Said = {"BValue": b}
        if gradient is not None:
            one["Gradient"] = gradient
        said.append(one)
    scan = _make(rng, "diffusion", "set", [said])
    scan.parts = [[b for b, _ in weightings]]
    scan.partitioned = partitioned
    return scan


def _cine(rng: Random, _vendor: str) -> Scan:
    """Return a heart, slice by slice, each over beats of its own length."""
    times = rng.randint(2, 6)
    scan = _make(rng, "cine", "cardiac", [[{} for _ in range(times)]])
    scan.parts = [list(range(times))]
    scan.slicewise = True
    regular = rng.random() < 0.3
    scan.cycle = [0.85 if regular else rng.uniform(0.6, 1.1) for _ in range(scan.slices[0])]
    return scan


def _phases(rng: Random, _vendor: str) -> Scan:
    """Return phases of heart or breath of whole volumes, measured together."""
    times = rng.randint(2, 6)
    scan = _make(rng, "gates", "cardiac", [[{} for _ in range(times)]])
    scan.parts = [list(range(times))]
    scan.starts = [0.0] * times
    scan.cycle = [rng.choice((0.8, 4.0))] * scan.slices[0]
    return scan


def _set(rng: Random, kind: str, name: str, values: list[float]) -> Scan:
    scan = _make(rng, kind, "set", [[{name: value} for value in values]])
    scan.parts = [list(values)]
    scan.partitioned = True
    return scan


def _inversions(rng: Random, _vendor: str) -> Scan:
    times = rng.sample((50.0, 150.0, 400.0, 1100.0, 2500.0), rng.randint(2, 5))
    return _set(
        rng, "inversion times", "InversionTime", times if rng.random() < 0.3 else sorted(times)
    )


def _flips(rng: Random, _vendor: str) -> Scan:
    angles = rng.sample((2.0, 5.0, 10.0, 15.0, 20.0, 30.0), rng.randint(2, 5))
    return _set(rng, "flip angles", "FlipAngle", angles if rng.random() < 0.3 else sorted(angles))


def _labels(rng: Random, _vendor: str) -> Scan:
    times = 2 * rng.randint(1, 3)
    names = rng.choice((("LABEL", "CONTROL"), ("CONTROL", "LABEL")))
    said: list[Said] = [{"Label": names[t % 2]} for t in range(times)]
    scan = _make(rng, "label and control", "time", [said])
    scan.parts = [[one["Label"] for one in said]]
    return scan


def _groups(rng: Random, _vendor: str) -> Scan:
    """Return groups of slices: turned, side by side in the plane, or apart along the normal."""
    how = rng.choice(("turned", "turned", "bilateral", "apart"))
    times = rng.choice((1, 1, 1, 2, 3))
    said: list[list[Said]] = [[{} for _ in range(times)] for _ in range(2)]
    scan = _make(rng, f"groups, {how}", "time" if times > 1 else "none", said)
    slices = rng.randint(2, 5)
    scan.slices = [slices] * 2
    scan.concurrent = times == 1 and rng.random() < 0.5
    one = scan.grids[0]
    if how == "turned":
        other = turned_grid(one, one.row, rng.uniform(0.2, 0.6))
        shift = along((30.0, normal_of(one)))
    elif how == "bilateral":
        other = one
        shift = along((rng.choice((60.0, 150.0)), rng.choice((one.row, one.column))))
    else:
        other = one
        shift = along((slices + rng.uniform(3.0, 12.0), one.step))
        scan.stated = False
    scan.grids = [one, _moved(other, shift)]
    scan.said = [[{**said, "Group": v + 1} for said in row] for v, row in enumerate(scan.said)]
    return scan


def _moved(grid: Grid, shift: tuple[float, float, float]) -> Grid:
    return replace(grid, origin=along((1.0, grid.origin), (1.0, shift)))


def _recons(rng: Random, _vendor: str) -> Scan:
    """Return several reconstructions, or a scan before and after contrast agent."""
    name, values = rng.choice(
        (
            ("ConvolutionKernel", ("B30f", "B60s", "I41f")),
            ("ConvolutionKernel", ("SOFT", "BONE", "LUNG")),
            ("KVP", (80.0, 140.0, 100.0)),
            ("SliceThickness", (5.0, 2.5, 1.25)),
            ("ContrastBolusAgent", ("", "OMNIPAQUE", "ULTRAVIST")),
        )
    )
    count = rng.choice((2, 2, 3))
    scan = _make(rng, f"reconstructions, {name}", "none", [[{name: one}] for one in values[:count]])
    scan.concurrent = name in {"ConvolutionKernel", "SliceThickness"}
    if rng.random() < 0.4:
        scan.slices = [rng.randint(3, 8)] * count  # fewer would be one stack to anybody
        grid = scan.grids[0]
        scan.grids = [_moved(grid, along((v / count, grid.step))) for v in range(count)]
        scan.kind += ", in between"
    return scan


def _overlap(rng: Random, _vendor: str) -> Scan:
    """Return two acquisitions of which the second begins where the first ends."""
    scan = _make(rng, "overlapping acquisitions", "none", [[{}], [{}]])
    slices = rng.randint(3, 5)
    scan.slices, scan.concurrent, scan.stated = [slices] * 2, False, False
    scan.grids = [
        scan.grids[0],
        _moved(scan.grids[0], along((float(slices - 1), scan.grids[0].step))),
    ]
    scan.acquired_as = [1, 2]
    return scan


def _beds(rng: Random, _vendor: str) -> Scan:
    """Return one volume that was measured bed by bed."""
    scan = _make(rng, "beds", "none", [[{}]])
    scan.slices = [rng.randint(4, 8)]
    beds = rng.choice((2, 3))
    scan.beds = [k * beds // scan.slices[0] for k in range(scan.slices[0])]
    return scan


def _growing(rng: Random, _vendor: str) -> Scan:
    """Return PET frames that grow longer."""
    times = rng.randint(2, 6)
    durations = [10.0 * 2 ** (t // 2) for t in range(times)]
    said: list[Said] = [{"FrameDuration": round(1000 * one)} for one in durations]
    scan = _make(rng, "growing frames", "time", [said])
    scan.starts = [sum(durations[:t]) for t in range(times)]
    for t, one in enumerate(said):
        middle = 1000 * (scan.starts[t] + durations[t] * 0.48)
        one["FrameReferenceTime"] = round(middle, 1)
    return scan
