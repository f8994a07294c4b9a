"""A world of a seed: a scanner, one series of it, and what becomes of that on its way."""

from __future__ import annotations

from random import Random
from typing import Final

from node.assemble.stacks.geometry import residual_limit
from tests.simulator.scanner.evidence import stated
from tests.simulator.scanner.habits import (
    Habits,
    began,
    honest,
    lies,
    number_all,
    random_habits,
    time_all,
)
from tests.simulator.scanner.places import normal_of, random_writing, slice_order, written
from tests.simulator.scanner.scan import Scan
from tests.simulator.scanner.scans import random_scan
from tests.simulator.scanner.sending import instances_of, lose, send
from tests.simulator.scanner.truth import Frame, Volume, World

FILES_EVERY: Final = 200
"""Of so many worlds one is written to files and read as files."""
_VENDORS: Final = {
    "MR": (
        "GE",
        "GE",
        "Siemens",
        "Siemens",
        "Siemens XA",
        "Philips",
        "Philips",
        "Canon",
        "UIH",
        "",
    ),
    "CT": ("GE", "Siemens", "Siemens XA", "Philips", "Canon", "UIH", ""),
    "PT": ("GE", "Siemens", "Philips", "UIH", ""),
}
_FORMS: Final = {
    "GE": ("classic",),
    "Siemens": ("classic",),
    "Siemens XA": (
        "enhanced one", "enhanced by volume", "enhanced by volume", "enhanced by frame",
        "legacy groups", "classic",
    ),
    "Philips": ("classic", "classic", "legacy groups", "enhanced one"),
    "Canon": ("classic", "classic", "enhanced one", "enhanced by volume"),
    "UIH": ("classic", "enhanced by frame"),
    "": ("classic", "classic", "enhanced one", "enhanced by volume", "enhanced by frame"),
}  # fmt: skip


def make_world(seed: int) -> World:
    """The world of a seed."""
    rng = Random(seed)
    modality = rng.choice(("MR", "MR", "MR", "MR", "CT", "CT", "PT"))
    vendor = rng.choice(_VENDORS[modality])
    form = "classic" if modality == "PT" else rng.choice(_FORMS[vendor])
    scan = random_scan(rng, modality, vendor)
    frames = _frames(rng, scan)
    away = max(frame.away for frame in frames)
    grid = scan.grids[0]
    between = abs(sum(a * b for a, b in zip(normal_of(grid), grid.step, strict=True)))
    small = away < 0.5 * residual_limit(between)
    habits = random_habits(rng, vendor, scan, form)
    jitter, blanks = _random_jitter(rng, scan, small=small), _random_blanks(rng, vendor, scan)
    dressing = rng.randrange(1 << 30)
    _dress(Random(dressing), vendor, modality, scan, habits, frames, jitter, blanks)
    wrong = lies(habits, scan, form)
    made = instances_of(Random(dressing), form, habits, frames, seed)
    marks = stated(scan, habits, frames, form, modality, wrong)
    if wrong and not marks:
        honest(habits, wrong)
        _dress(Random(dressing), vendor, modality, scan, habits, frames, jitter, blanks)
        made = instances_of(Random(dressing), form, habits, frames, seed)
        wrong, marks = [], stated(scan, habits, frames, form, modality, [])
    left, lost = made, "none"
    if "image type" not in jitter:  # what is left of it may look like two regular stacks
        left, lost = lose(rng, scan, habits, made, marks)
    again = seed % FILES_EVERY == 0 and rng.random() < 0.5
    sent = send(rng, left, again=again)
    plain = _is_plain(scan, wrong, marks)
    located = scan.stated or (form.startswith("enhanced") and scan.kind.startswith("groups"))
    return World(
        seed=seed,
        vendor=vendor,
        modality=modality,
        form=form,
        kind=scan.kind,
        pointers=habits.pointers,
        volumes=[
            Volume(v, grid, scan.slices[v], tuple(scan.parts[v]), scan.ordered, scan.by_part)
            for v, grid in enumerate(scan.grids)
        ],
        made=made,
        sent=sent,
        defined=plain and lost == "none" and located and small and not again,
        away=away,
        notes=[
            f"lost {lost}",
            f"jitter {', '.join(sorted(jitter)) or 'none'}",
            f"blanked {', '.join(sorted(blanks)) or 'nothing'}",
            f"lies {', '.join(wrong) or 'none'}",
            f"stated by {', '.join(marks) or 'nothing'}",
            f"located {located}, small jitter {small}",
            str(habits),
        ],
    )


def _is_plain(scan: Scan, wrong: list[str], marks: list[str]) -> bool:
    """Tell whether a careful reader has to find the fourth axis.

    Instance Number alone is not enough where other numbers contradict it, as neither is a time,
    nor for a single slice, whose images may be anything.
    """
    if marks == ["Instance Number"]:
        return not wrong and min(scan.slices) > 1
    return bool(marks)


def _frames(rng: Random, scan: Scan) -> list[Frame]:
    how = random_writing(rng)
    ranks = slice_order(rng, max(scan.slices))
    starts = began(rng, scan, ranks)
    steady = rng.random() < 0.7  # the same rounding and jitter of a slice at all times
    frames = []
    for v, grid in enumerate(scan.grids):
        places = [written(rng, how, grid, k) for k in range(scan.slices[v])]
        for t in range(scan.times):
            for k in range(scan.slices[v]):
                place = places[k] if steady else written(rng, how, grid, k)
                frames.append(Frame(v, t, k, starts[v, t, k], *place))
    return frames


def _random_jitter(rng: Random, scan: Scan, *, small: bool) -> set[str]:
    names = (
        "echo time",
        "flip angle",
        "image type",
        "series number",
        "frame of reference",
        "stack",
    )
    found = {name for name in names if rng.random() < 0.1}
    if scan.acquired_as or scan.kind.startswith("groups") or not small:
        found.discard("image type")  # which would part the slices into others, as regular
    return found


def _random_blanks(rng: Random, vendor: str, scan: Scan) -> set[str]:
    if rng.random() < 0.6:
        return set()
    names = ["times", "frame of reference", "descriptions", "private"]
    if vendor == "GE" and scan.kind == "magnitude and phase":
        names.remove("private")  # nothing else would tell them apart
    return {name for name in names if rng.random() < 0.4}


def _dress(
    rng: Random,
    vendor: str,
    modality: str,
    scan: Scan,
    habits: Habits,
    frames: list[Frame],
    jitter: set[str],
    blanks: set[str],
) -> None:
    """Give frames the attributes that their headers will have."""
    for frame in frames:
        frame.said = _common(modality, scan, jitter, frame) | scan.said[frame.volume][frame.time]
        if "echo time" in jitter and modality == "MR":
            frame.said["EchoTime"] = round(frame.said["EchoTime"] + rng.uniform(-0.002, 0.002), 4)
        if "flip angle" in jitter and modality == "MR":
            frame.said["FlipAngle"] = round(frame.said["FlipAngle"] + rng.uniform(-0.02, 0.02), 3)
        frame.said["SeriesNumber"] = _or_empty(rng, "series number" in jitter, 7)
        frame.said["FrameOfReference"] = _or_empty(rng, "frame of reference" in jitter, "1.2.3.4.5")
        frame.said["Stack"] = str(frame.said.pop("Group", 1))
        if "stack" in jitter and len(scan.slices) == 1:
            frame.said["Stack"] = _or_empty(rng, True, frame.said["Stack"])
    number_all(rng, habits, scan, frames)
    time_all(rng, habits, scan, frames, vendor)
    names = {
        "times": ("AcquisitionTime", "AcquisitionDateTime", "ContentTime", "SeriesTime"),
        "frame of reference": ("FrameOfReference",),
        "descriptions": ("SeriesDescription", "ProtocolName"),
        "private": ("Label",),
    }
    removed = [name for blank in blanks for name in names[blank]]
    for frame in frames:
        for name in removed:
            frame.said.pop(name, None)
        frame.said["Private"] = "private" not in blanks


def _or_empty(rng: Random, sometimes: bool, value: object) -> object:
    return "" if sometimes and rng.random() < 0.3 else value


def _common(modality: str, scan: Scan, jitter: set[str], frame: Frame) -> dict[str, object]:
    fourth = "DIS2D" if "image type" in jitter and frame.slice % 2 else "NORM"
    said: dict[str, object] = {"Fourth": fourth, "SeriesDescription": "series"}
    if modality == "MR":
        said |= {"EchoTime": 12.345, "FlipAngle": 9.95, "RepetitionTime": 900.0}
    if modality == "CT":
        said |= {"KVP": 120.0, "ConvolutionKernel": "B40f"}
    if modality == "PT":
        said |= _series_type(scan)
    return said | {"SliceThickness": 2.5}


def _series_type(scan: Scan) -> dict[str, object]:
    """Return what PET says of its series as a whole (PS3.3 C.8.9.1)."""
    kinds = {"beds": "WHOLE BODY", "growing frames": "DYNAMIC", "gates": "GATED"}
    said: dict[str, object] = {
        "SeriesType": (kinds.get(scan.kind, "STATIC"), "IMAGE"),
        "NumberOfSlices": scan.slices[0],
    }
    if scan.axis == "time":
        said["NumberOfTimeSlices"] = scan.times
    return said
