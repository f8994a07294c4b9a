"""Join runs that a scanner split: XA gives each volume of some runs a Series Instance UID."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from node.assemble.frames.model import InstanceHeader
from node.assemble.study_and_patient import person_of
from node.assemble.vendors.siemens import siemens
from node.convert.sources import InstanceSource

_SOFTWARE: Final = "XA"
_PLACE_DECIMALS: Final = 2
"""mm; slices at one place in two volumes."""
_DIRECTION_DECIMALS: Final = 4

Instances = tuple[InstanceSource, ...]


class RunKey(NamedTuple):
    """What the volumes of one run have in common.

    Attributes:
        run: digest of all but the places of the slices; a volume that lacks slices has it, too.
        slices: digest of the places of the slices, and of what kind of image each of them is.
    """

    run: str
    slices: str


class SplitVolume(NamedTuple):
    """A series that may be a volume of a run.

    Attributes:
        key: equal for the volumes of one run.
        begin: when the first slice was acquired, µs.
    """

    key: RunKey
    begin: int


def joined(series: Sequence[Instances]) -> list[Instances]:
    """Join series that are volumes of one run; other series stay as they are.

    Volumes of one run have one Series Number in one study of one patient, one frame of reference,
    the same slices and kind of image, one image at each position, and different acquisition times.

    Args:
        series: the instances of each Series Instance UID.

    Returns:
        the instances of each series or run; those of a run are in the order of time.
    """
    runs: dict[RunKey, dict[int, Instances]] = {}
    alone: list[Instances] = []
    for instances in series:
        volume = split_volume([source.header for source in instances])
        # Of two volumes of one time the order is not known.
        if volume is None or volume.begin in runs.setdefault(volume.key, {}):
            alone.append(instances)
        else:
            runs[volume.key][volume.begin] = instances
    whole = [tuple(source for time in sorted(run) for source in run[time]) for run in runs.values()]
    return [*alone, *(run for run in whole if run)]


def may_be_split(header: InstanceHeader) -> bool:
    """Whether an instance is of a scanner that gives the volumes of some runs a series each."""
    software = str(header.facts.get("SoftwareVersions", ""))
    made = (header.vendor, header.modality) == (siemens.NAME, "MR") and _SOFTWARE in software
    return made and header.series_number is not None


def split_volume(headers: Sequence[InstanceHeader]) -> SplitVolume | None:
    """What tells whether a series is a volume of a run; None if it is none.

    Args:
        headers: of all instances of the series.
    """
    slices: dict[object, object] = {}
    times: list[int] = []
    for header in headers:
        if not may_be_split(header) or header.problem is not None:
            return None
        for frame in header.frames:
            if frame.position is None or frame.orientation is None or frame.acquired is None:
                return None
            place = tuple(round(value, _PLACE_DECIMALS) + 0.0 for value in frame.position)
            turned = tuple(round(value, _DIRECTION_DECIMALS) + 0.0 for value in frame.orientation)
            if place in slices:
                return None
            look = (turned, frame.rows, frame.columns, frame.spacing, frame.tile)
            kind = (frame.echo, frame.echo_time, frame.kind, frame.derived, frame.image_type)
            slices[place] = (look, kind)
            times.append(frame.acquired)
    if not times:
        return None
    whose = (headers[0].study_instance_uid, person_of(headers[0]), headers[0].series_number)
    frame_of_reference = headers[0].frame_of_reference_uid
    run = (*whose, frame_of_reference, headers[0].facts.get("ProtocolName"))
    kinds = sorted({repr(each) for each in slices.values()})
    places = (sorted(map(repr, slices)), sorted(map(repr, slices.values())))
    return SplitVolume(RunKey(_digest((run, kinds)), _digest(places)), min(times))


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
