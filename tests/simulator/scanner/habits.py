"""How a scanner numbers and times what it measures: right, unhelpful, or one of its known lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.simulator.scanner.scan import Scan
from tests.simulator.scanner.truth import Frame

SECOND: Final = 1_000_000
DAY: Final = 86400 * SECOND


@dataclass
class Habits:
    """Choices of a scanner, of who de-identified its images, and of a protocol.

    Attributes:
        numbers: Instance Number: "by volume", "by slice", "random", "one", "absent", "falling".
        first: the first Instance Number.
        nesting: what counts fastest where there are several volumes and times.
        acquisitions: Acquisition Number: "rising", "shuffled", "constant", "by slice", "absent".
        clock: Acquisition Time: "by volume", "by slice", "constant", "absent".
        resolution: µs; times are cut to it.
        content: Content Time, likewise.
        date_time: Acquisition DateTime is written too.
        dates: "true", "absent", "dummy".
        midnight: it falls into the series.
        temporal: Temporal Position: "right", "one", "absent".
        trigger: Trigger Time: "phase", "jitter", "absent".
        percentage: Nominal Percentage of Cardiac Phase is written.
        pointers: Dimension Index Sequence: "right", "swapped", "absent".
        reference: Frame Reference Time is written.
        frames: of a multi-frame image: "volumes", "slices", "random".
    """

    numbers: str
    first: int
    nesting: str
    acquisitions: str
    clock: str
    resolution: int
    content: str
    date_time: bool
    dates: str
    midnight: bool
    temporal: str
    trigger: str
    percentage: bool
    pointers: str
    reference: bool
    frames: str


def random_habits(rng: Random, vendor: str, scan: Scan, form: str) -> Habits:
    """Return the habits of a vendor's scanner in a series."""
    cardiac = scan.axis == "cardiac"
    clock = rng.choice(("by volume", "by slice", "by slice", "constant", "absent"))
    if vendor == "GE" and rng.random() < 0.5:
        clock = "constant"
    trigger = "absent"
    if cardiac:
        trigger = rng.choice(("phase", "phase", "phase", "absent"))
    elif scan.kind == "gated dynamic":
        trigger = rng.choice(("jitter", "jitter", "absent"))
    return Habits(
        numbers=rng.choice(
            (
                "by volume",
                "by volume",
                "by volume",
                "by slice",
                "random",
                "one",
                "absent",
                "falling",
            )
        ),
        first=rng.choice((1, 1, 1, 1, 0, 37)),
        nesting=rng.choice(("volume last", "volume first")),
        acquisitions=rng.choice(
            ("rising", "rising", "shuffled", "constant", "constant", "by slice", "absent")
        ),
        clock=clock,
        resolution=rng.choice((1, 1, SECOND // 100, SECOND // 400, SECOND)),
        content=rng.choice(("by slice", "by volume", "constant", "absent")),
        date_time=rng.random() < 0.3,
        dates=rng.choice(("true", "true", "true", "absent", "dummy")),
        midnight=rng.random() < 0.08,
        temporal=rng.choice(("right", "right", "one", "absent", "absent")),
        trigger=trigger,
        percentage=cardiac and rng.random() < 0.5,
        pointers=rng.choice(("right", "right", "swapped", "absent")),
        reference=rng.random() < 0.7,
        frames=rng.choice(("volumes", "slices", "random")),
    )


def lies(habits: Habits, scan: Scan, form: str) -> list[str]:
    """Return what of a series' headers is not so; something reliable must stand against it."""
    if scan.times < 2:
        return []
    found = []
    if habits.numbers in {"random", "falling"}:
        found.append("numbers")
    if habits.acquisitions in {"shuffled", "by slice"}:
        found.append("acquisitions")
    if habits.trigger == "jitter":
        found.append("trigger")
    if habits.pointers == "swapped" and form.startswith("enhanced"):
        found.append("pointers")
    if habits.frames == "random" and form == "enhanced one":
        found.append("frames")
    if habits.dates == "dummy" and habits.midnight:
        found.append("dates")
    return found


def honest(habits: Habits, which: list[str]) -> None:
    """Leave lies out."""
    neutral = {
        "numbers": ("numbers", "absent"),
        "acquisitions": ("acquisitions", "constant"),
        "trigger": ("trigger", "absent"),
        "pointers": ("pointers", "absent"),
        "frames": ("frames", "volumes"),
        "dates": ("dates", "absent"),
    }
    for lie in which:
        name, value = neutral[lie]
        setattr(habits, name, value)


def number_all(rng: Random, habits: Habits, scan: Scan, frames: list[Frame]) -> None:
    """Give frames their Instance Numbers, Acquisition Numbers and Temporal Positions."""
    numbers = _numbers(rng, habits, scan, frames)
    shuffled = rng.sample(range(1, scan.times + 1), scan.times)
    apart = scan.kind.startswith("groups")  # slices of groups are never one acquisition
    for frame, number in zip(frames, numbers, strict=True):
        if number is not None:
            frame.said["InstanceNumber"] = number
        if habits.acquisitions != "absent":
            frame.said["AcquisitionNumber"] = {
                "rising": frame.time + 1,
                "shuffled": shuffled[frame.time],
                "constant": 1,
                "by slice": frame.slice + 1 + (frame.volume * scan.slices[0] if apart else 0),
            }[habits.acquisitions]
        if scan.acquired_as:
            frame.said["AcquisitionNumber"] = scan.acquired_as[frame.volume]
        if habits.temporal != "absent" and scan.times > 1:
            frame.said["TemporalPosition"] = frame.time + 1 if habits.temporal == "right" else 1
        if not habits.reference:
            frame.said.pop("FrameReferenceTime", None)


def _numbers(
    rng: Random, habits: Habits, scan: Scan, frames: list[Frame]
) -> list[int] | list[None]:
    count = len(frames)
    if habits.numbers == "absent":
        return [None] * count
    if habits.numbers == "one":
        return [1] * count
    if habits.numbers == "random":
        return rng.sample(range(habits.first, habits.first + count), count)
    together = habits.nesting == "volume last"

    def place(index: int) -> tuple[int, ...]:
        frame = frames[index]
        if habits.numbers == "by slice" and scan.axis != "none":
            inner = (frame.slice, frame.time)
        else:
            inner = (frame.time, frame.slice)
        return (*inner, frame.volume) if together else (frame.volume, *inner)

    order = sorted(range(count), key=place, reverse=habits.numbers == "falling")
    found = [0] * count
    for number, index in enumerate(order):
        found[index] = habits.first + number
    return found


def time_all(rng: Random, habits: Habits, scan: Scan, frames: list[Frame], vendor: str) -> None:
    """Give frames their dates, times and phases."""
    start = rng.randrange(6 * 3600, 20 * 3600) * SECOND + rng.randrange(SECOND)
    if habits.midnight:
        longest = max(frame.began for frame in frames)
        start = DAY - int(longest * rng.uniform(0.2, 0.8)) - 1
    day = rng.randrange(1, 28)
    first_of: dict[tuple[int, int], int] = {}
    for frame in frames:
        key = (frame.volume, frame.slice if scan.slicewise else frame.time)
        first_of[key] = min(first_of.get(key, frame.began), frame.began)
    delay = rng.uniform(0, 2) * SECOND
    around = rng.choice((0.0, 500.0, 612.5))
    slope = [rng.uniform(0.5, 2.0) for _ in range(max(scan.slices))]
    for frame in frames:
        key = (frame.volume, frame.slice if scan.slicewise else frame.time)
        moments = {"by volume": first_of[key], "by slice": frame.began, "constant": 0}
        frame.said |= {
            "SeriesDate": _date(habits, day),
            "SeriesTime": _time(start, SECOND // 1000),
        }
        if habits.clock in moments:
            at = start + moments[habits.clock]
            date = _date(habits, day + at // DAY)
            frame.said |= {"AcquisitionTime": _time(at, habits.resolution), "AcquisitionDate": date}
            if habits.date_time and date:
                frame.said["AcquisitionDateTime"] = date + _time(at, habits.resolution)
        if habits.content in moments:
            at = start + moments[habits.content] + int(delay)
            frame.said |= {
                "ContentTime": _time(at, habits.resolution),
                "ContentDate": _date(habits, day + at // DAY),
            }
        if scan.axis == "cardiac":
            phase = frame.time / scan.times
            if habits.trigger == "phase":
                frame.said["TriggerTime"] = round(1000 * phase * scan.cycle[frame.slice], 1)
            if habits.percentage:
                frame.said["Percentage"] = round(100 * phase, 1)
        elif habits.trigger == "jitter":
            frame.said["TriggerTime"] = round(around + rng.uniform(0, 30), 1)
        if scan.beds:
            frame.slope = slope[scan.beds[frame.slice]]
        elif vendor != "GE" and frame.volume == 0 and scan.times > 1 and "BValue" not in frame.said:
            frame.slope = 1.0


def began(rng: Random, scan: Scan, ranks: list[int]) -> dict[tuple[int, int, int], int]:
    """Return when every frame was measured, µs from the beginning of the series."""
    found: dict[tuple[int, int, int], int] = {}
    steps = [b - a for a, b in zip(scan.starts, scan.starts[1:], strict=False)]
    shortest = min([step for step in steps if step > 0], default=2.0)
    spread = rng.choice((0.0, 0.5, 0.95)) * shortest
    if scan.kind == "gates":
        spread = 0.0
    whole = scan.starts[-1] + shortest + 20.0
    for volume, count in enumerate(scan.slices):
        shift = 0.0 if scan.concurrent else volume * whole
        for t, start in enumerate(scan.starts):
            for k in range(count):
                rank = ranks[k] % count
                if scan.slicewise:
                    at = rank * 12.0 + t / scan.times * scan.cycle[k]
                elif scan.beds:
                    at = scan.beds[k] * 180.0
                else:
                    at = start + rank * spread / count
                found[volume, t, k] = math.floor((shift + at) * SECOND)
    return found


def _date(habits: Habits, day: int) -> str:
    if habits.dates == "absent":
        return ""
    return "19000101" if habits.dates == "dummy" else f"202403{day:02d}"


def _time(at: int, resolution: int) -> str:
    clock = at % DAY // resolution * resolution
    seconds, fraction = divmod(clock, SECOND)
    text = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    return text if resolution == SECOND else f"{text}.{fraction:06d}"
