"""Which field map corrects which image: B0FieldIdentifier, B0FieldSource and IntendedFor. Pure.

A field map is taken for an image if both have the same shim settings and frame of reference, and
the middle of the image lies inside the field map; of several the nearest in time is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from node.convert.naming.bids import entities_of

_CORRECTED: Final = {
    "func": frozenset({"bold", "sbref", "cbv"}),
    "dwi": frozenset({"dwi", "sbref"}),
    "perf": frozenset({"asl", "m0scan"}),
}
"""Datatype -> suffixes of images that a field map corrects."""
_OPPOSED: Final = frozenset({"epi"})
_MARK: Final = re.compile(r"__dup-\d+$")
_IDENTIFIER: Final = "B0FieldIdentifier"
_SOURCE: Final = "B0FieldSource"

Box = tuple[float, float, float, float, float, float]


class Scan(msgspec.Struct, frozen=True):
    """What links an image to a field map.

    Attributes:
        shims: shim settings; empty if not known.
        frame_of_reference: its UID.
        box: lowest and highest RAS coordinates of the image, mm.
        echo_time: s.
    """

    shims: tuple[float, ...] = ()
    frame_of_reference: str = ""
    box: Box | None = None
    echo_time: float | None = None


Key = tuple[str, int]
Scans = Mapping[Key, tuple[str, int | None, Scan]]
"""Key of a volume -> its name, when it began (µs), and what links it."""


def links(scans: Scans) -> dict[Key, dict[str, object]]:
    """Return the fields that link field maps and images.

    Args:
        scans: all volumes of a participant's session.
    """
    maps: dict[str, list[Key]] = {}
    for each, (stem, _, _) in sorted(scans.items(), key=lambda item: item[1][0]):
        if (name := _map(stem)) and not _MARK.search(stem):
            maps.setdefault(name, []).append(each)
    maps = {name: group for name, group in maps.items() if _is_whole(name, group, scans)}
    found: dict[Key, dict[str, object]] = {}
    intended: dict[str, list[str]] = {name: [] for name in maps}
    for name, group in maps.items():
        echoes = _echoes([scans[each] for each in group])
        for each in group:
            found.setdefault(each, {})[_IDENTIFIER] = name
            if _kind(scans[each][0])[1] == "phasediff":
                found[each].update(echoes)
    for each, (stem, started, scan) in sorted(scans.items(), key=lambda item: item[1][0]):
        datatype, suffix = _kind(stem)
        if suffix not in _CORRECTED.get(datatype, ()) or _MARK.search(stem):
            continue
        source = _nearest(started, scan, maps, scans)
        if source:
            found.setdefault(each, {})[_SOURCE] = source
            intended[source].append(f"bids::{stem[_start(stem) :]}.nii.gz")
    for name, group in maps.items():
        for each in group:
            if intended[name] and _kind(scans[each][0])[0] == "fmap":
                found[each]["IntendedFor"] = intended[name]
    return found


def _echoes(group: Sequence[tuple[str, int | None, Scan]]) -> dict[str, float]:
    """Return the two echo times of a phase difference, which its magnitude images have."""
    times = {_kind(stem)[1]: scan.echo_time for stem, _, scan in group}
    first, second = times.get("magnitude1"), times.get("magnitude2")
    return {} if not first or not second else {"EchoTime1": first, "EchoTime2": second}


def _start(stem: str) -> int:
    """Return where the name below the dataset's root begins."""
    return 0 if stem.startswith("sub-") else stem.index("/sub-") + 1


def _kind(stem: str) -> tuple[str, str]:
    """Return datatype and suffix of a name."""
    folders, _, name = stem.rpartition("/")
    return folders.rpartition("/")[2], name.rpartition("_")[2]


def _map(stem: str) -> str:
    """Return the identifier of the estimate that an image takes part in; empty if it is none.

    Images of one estimate have the same entities, but for the direction of phase encoding.
    """
    datatype, suffix = _kind(stem)
    entities = {
        name: label for name, label in entities_of(stem).items() if name not in {"sub", "echo"}
    }
    way = "pepolar" if suffix in _OPPOSED else "fieldmap"
    if datatype == "dwi" and suffix == "dwi" and "dir" in entities:
        way = "dwi"
    elif datatype != "fmap":
        return ""
    if way != "fieldmap":
        entities.pop("dir", None)
    return "_".join([way, *(f"{name}{label}" for name, label in entities.items())])


def _is_whole(name: str, group: list[Key], scans: Scans) -> bool:
    """Tell whether images make an estimate: diffusion images only if they are opposed."""
    if not name.startswith("dwi"):
        return True
    directions = {entities_of(scans[each][0])["dir"][:2] for each in group}
    return len(directions) > 1


def _nearest(started: int | None, scan: Scan, maps: Mapping[str, list[Key]], scans: Scans) -> str:
    """Return the field map of an image; empty if none fits."""
    fitting = []
    for name, group in maps.items():
        if not all(_fits(scan, scans[each][2]) for each in group):
            continue
        times = [time for each in group if (time := scans[each][1]) is not None]
        apart = float("inf")
        if started is not None and times:
            apart = min(abs(started - time) for time in times)
        fitting.append((apart, name))
    return min(fitting, default=(0.0, ""))[1]


def _fits(image: Scan, field_map: Scan) -> bool:
    if image.shims and field_map.shims and image.shims != field_map.shims:
        return False
    if image.frame_of_reference != field_map.frame_of_reference:
        return False
    if image.box is None or field_map.box is None:
        return True
    middle = [(image.box[axis] + image.box[axis + 3]) / 2 for axis in range(3)]
    return all(field_map.box[n] <= middle[n] <= field_map.box[n + 3] for n in range(3))
