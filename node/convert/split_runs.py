"""Join runs that a scanner split: XA gives each volume of some runs a Series Instance UID."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.assemble.study_and_patient import person_of
from node.assemble.vendors.siemens import siemens
from node.convert.sources import InstanceSource

_SOFTWARE: Final = "XA"
_PLACE_DECIMALS: Final = 2
"""mm; slices at one place in two volumes."""
_DIRECTION_DECIMALS: Final = 4

Instances = tuple[InstanceSource, ...]


def joined(series: Sequence[Instances]) -> list[Instances]:
    """Join series that are volumes of one run; other series stay as they are.

    Volumes of one run have one Series Number in one study of one patient, one frame of reference,
    the same slices and kind of image, one image at each position, and different acquisition times.

    Args:
        series: the instances of each Series Instance UID.

    Returns:
        the instances of each series or run; those of a run are in the order of time.
    """
    runs: dict[object, dict[int, Instances]] = {}
    alone: list[Instances] = []
    for instances in series:
        key, time = _volume(instances), _begin(instances)
        if key is None or time is None:
            alone.append(instances)
            continue
        run = runs.setdefault(key, {})
        if time in run:  # their order is not known
            alone.append(instances)
        else:
            run[time] = instances
    whole = [tuple(source for time in sorted(run) for source in run[time]) for run in runs.values()]
    return [*alone, *whole]


def _volume(instances: Instances) -> object | None:
    """Return the key that volumes of one run share; None for other series."""
    found: list[object] = []
    places: set[object] = set()
    for source in instances:
        header = source.header
        software = str(header.facts.get("SoftwareVersions", ""))
        if (header.vendor, header.modality) != (siemens.NAME, "MR") or _SOFTWARE not in software:
            return None
        if header.series_number is None or header.problem is not None:
            return None
        for frame in header.frames:
            if frame.position is None or frame.orientation is None:
                return None
            place = tuple(round(value, _PLACE_DECIMALS) + 0.0 for value in frame.position)
            turned = tuple(round(value, _DIRECTION_DECIMALS) + 0.0 for value in frame.orientation)
            if place in places:
                return None
            places.add(place)
            look = (turned, frame.rows, frame.columns, frame.spacing, frame.tile)
            kind = (frame.echo, frame.echo_time, frame.kind, frame.derived, frame.image_type)
            found.append((look, kind))
    header = instances[0].header
    whose = (header.study_instance_uid, person_of(header))
    series = (*whose, header.series_number, header.frame_of_reference_uid)
    return (*series, header.facts.get("ProtocolName"), frozenset(found), frozenset(places))


def _begin(instances: Instances) -> int | None:
    """Return when the first slice was acquired, µs."""
    times = [frame.acquired for source in instances for frame in source.header.frames]
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None
