"""Frames to data sets, classic or enhanced, as vendors write them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

from tests.simulator.scanner.encoding import data_set, element, pixels, sequence
from tests.simulator.scanner.truth import Frame, Instance, Said, World

_CLASSES: Final = {
    ("MR", False): "1.2.840.10008.5.1.4.1.1.4",
    ("MR", True): "1.2.840.10008.5.1.4.1.1.4.1",
    ("CT", False): "1.2.840.10008.5.1.4.1.1.2",
    ("CT", True): "1.2.840.10008.5.1.4.1.1.2.1",
    ("PT", False): "1.2.840.10008.5.1.4.1.1.128",
}
_MAKERS: Final = {
    "GE": "GE MEDICAL SYSTEMS",
    "Siemens": "SIEMENS",
    "Siemens XA": "Siemens Healthineers",
    "Philips": "Philips Medical Systems",
    "Canon": "CANON_MEC",
    "UIH": "UIH",
    "": "Research",
}
_INSTANCE: Final = {
    "SeriesDate": (0x00080021, "DA"),
    "SeriesTime": (0x00080031, "TM"),
    "SeriesDescription": (0x0008103E, "LO"),
    "SeriesNumber": (0x00200011, "IS"),
    "FrameOfReference": (0x00200052, "UI"),
}
_CLASSIC: Final = {
    "AcquisitionDate": (0x00080022, "DA"),
    "AcquisitionTime": (0x00080032, "TM"),
    "AcquisitionDateTime": (0x0008002A, "DT"),
    "ContentDate": (0x00080023, "DA"),
    "ContentTime": (0x00080033, "TM"),
    "InstanceNumber": (0x00200013, "IS"),
    "AcquisitionNumber": (0x00200012, "IS"),
    "TemporalPosition": (0x00200100, "IS"),
    "TriggerTime": (0x00181060, "DS"),
    "Percentage": (0x00209241, "FL"),
    "FrameReferenceTime": (0x00541300, "DS"),
    "FrameDuration": (0x00181242, "IS"),
    "SeriesType": (0x00541000, "CS"),
    "NumberOfSlices": (0x00540081, "US"),
    "NumberOfTimeSlices": (0x00540101, "US"),
    "EchoTime": (0x00180081, "DS"),
    "EchoNumbers": (0x00180086, "IS"),
    "FlipAngle": (0x00181314, "DS"),
    "InversionTime": (0x00180082, "DS"),
    "RepetitionTime": (0x00180080, "DS"),
    "BValue": (0x00189087, "FD"),
    "Gradient": (0x00189089, "FD"),
    "ConvolutionKernel": (0x00181210, "SH"),
    "KVP": (0x00180060, "DS"),
    "SliceThickness": (0x00180050, "DS"),
    "ContrastBolusAgent": (0x00180010, "LO"),
}
_GROUPS: Final = {
    "AcquisitionNumber": (0x00209111, 0x00209156, "US"),
    "TemporalPosition": (0x00209111, 0x00209128, "UL"),
    "TriggerTime": (0x00189118, 0x00209153, "FD"),
    "Percentage": (0x00189118, 0x00209241, "FL"),
    "EchoTime": (0x00189114, 0x00189082, "FD"),
    "FlipAngle": (0x00189112, 0x00181314, "DS"),
    "RepetitionTime": (0x00189112, 0x00180080, "DS"),
    "InversionTime": (0x00189115, 0x00189079, "FD"),
    "SliceThickness": (0x00289110, 0x00180050, "DS"),
    "ConvolutionKernel": (0x00189314, 0x00181210, "SH"),
    "KVP": (0x00189325, 0x00180060, "DS"),
    "ContrastBolusAgent": (0x00189341, 0x00180010, "LO"),
}
_PLANE_POSITION, _PLANE_ORIENTATION, _MEASURES = 0x00209113, 0x00209116, 0x00289110
_CONTENT: Final = 0x00209111
_POINTERS: Final = {
    "time": 0x00209128,
    "cardiac": 0x00209153,
    "InversionTime": 0x00189079,
    "FlipAngle": 0x00181314,
    "BValue": 0x00189087,
}


def instance_bytes(world: World, one: Instance, *, full: bool) -> bytes:
    """Write an instance.

    Args:
        full: with all of its pixels; else with a few bytes, which no header is about.
    """
    enhanced = world.form.startswith("enhanced")
    first = one.frames[0]
    grid = world.volumes[first.volume].grid
    found = [
        _put(0x00080016, "UI", sop_class(world)),
        _put(0x00080018, "UI", one.uid),
        _put(0x00080060, "CS", world.modality),
        _put(0x00080070, "LO", _MAKERS[world.vendor]),
        _put(0x0020000D, "UI", f"1.2.3.{world.seed + 1}"),
        _put(0x0020000E, "UI", f"1.2.3.{world.seed + 1}.1"),
        _put(0x00280002, "US", 1),
        _put(0x00280004, "CS", "MONOCHROME2"),
        _put(0x00280010, "US", grid.size[0]),
        _put(0x00280011, "US", grid.size[1]),
        _put(0x00280100, "US", 16),
        _put(0x00280101, "US", 16),
        _put(0x00280102, "US", 15),
        _put(0x00280103, "US", 0),
        _put(0x00080008, "CS", image_type(world, first)),
    ]
    if world.vendor == "Siemens XA":
        found.append(_put(0x00181020, "LO", "syngo MR XA30"))
    found += _table(_INSTANCE, first.said)
    if enhanced:
        found += _table({"InstanceNumber": _CLASSIC["InstanceNumber"]}, one.said)
        found += _enhanced(world, one.frames)
    else:
        found += _classic(world, first)
    if world.form == "legacy groups":
        content = [_put(0x00209056, "SH", first.said["Stack"])]
        item = sequence(_CONTENT, [data_set(content)])
        found.append((0x52009230, sequence(0x52009230, [item])))
    raw = b"".join(values(world, frame) for frame in one.frames) if full else b"\0\0"
    found.append((0x7FE00010, pixels(raw)))
    return data_set(found)


def sop_class(world: World) -> str:
    """Return the SOP Class UID."""
    return _CLASSES[world.modality, world.form.startswith("enhanced")]


def number_of(world: World, frame: Frame) -> int:
    """Return a number for a frame's place in its series, which its pixels encode."""
    before = sum(len(one.parts) * one.slices for one in world.volumes[: frame.volume])
    return before + frame.time * world.volumes[frame.volume].slices + frame.slice


def values(world: World, frame: Frame) -> bytes:
    """Return stored pixels that tell volume, time, slice, row and column."""
    rows, columns = world.volumes[frame.volume].grid.size
    base = 64 * number_of(world, frame)
    stored = (base + 8 * row + column for row in range(rows) for column in range(columns))
    return array("H", stored).tobytes()


def image_type(world: World, frame: Frame) -> tuple[str, ...]:
    """Return Image Type."""
    third = frame.said.get("Component", {"MR": "M", "CT": "AXIAL", "PT": "STATIC"}[world.modality])
    if "GEImageKind" in frame.said:
        third = "OTHER"
    return ("ORIGINAL", "PRIMARY", third, frame.said["Fourth"])


def _put(tag: int, vr: str, value: Any) -> tuple[int, bytes]:
    return tag, element(tag, vr, value)


def _table(table: dict[str, tuple[int, str]], said: Said) -> list[tuple[int, bytes]]:
    return [_put(tag, vr, said[name]) for name, (tag, vr) in table.items() if name in said]


def _classic(world: World, frame: Frame) -> list[tuple[int, bytes]]:
    found = _table(_CLASSIC, frame.said)
    found += [
        _put(0x00200032, "DS", frame.position),
        _put(0x00200037, "DS", frame.orientation),
        _put(0x00280030, "DS", frame.spacing),
    ]
    if world.modality != "MR":
        found += [_put(0x00281052, "DS", 0), _put(0x00281053, "DS", frame.slope)]
    if world.vendor == "GE" and world.modality == "MR":
        found.append(_put(0x00209056, "SH", frame.said["Stack"]))
    if frame.said["Private"]:
        found += _private(world.vendor, frame.said)
    return found


def _private(vendor: str, said: Said) -> list[tuple[int, bytes]]:
    if vendor == "GE" and "GEImageKind" in said:
        return [
            _put(0x00430010, "LO", "GEMS_PARM_01"),
            _put(0x0043102F, "SS", said["GEImageKind"]),
        ]
    if vendor == "Philips" and "Label" in said:
        return [
            _put(0x20050014, "LO", "Philips MR Imaging DD 005"),
            _put(0x20051429, "CS", said["Label"]),
        ]
    return []


def _enhanced(world: World, frames: Sequence[Frame]) -> list[tuple[int, bytes]]:
    found = [_put(0x00280008, "IS", len(frames))]
    axes = _axes(world)
    if world.pointers != "absent":
        tags = [0x00209056, 0x00209057, *(tag for tag, _ in axes)]
        if world.pointers == "swapped":
            tags = tags[:1] + tags[2:] + tags[1:2]
        items = [element(0x00209165, "AT", tag) for tag in tags]
        found.append((0x00209222, sequence(0x00209222, items)))
    groups = [
        _group(world, frame, axes if world.pointers != "absent" else None) for frame in frames
    ]
    found.append((0x52009230, sequence(0x52009230, groups)))
    return found


def _axes(world: World) -> list[tuple[int, Any]]:
    """Return pointers to dimensions beyond space, and what gives a frame's index along each."""
    found: list[tuple[int, Any]] = []
    if len(world.volumes) > 1 and not world.kind.startswith("groups"):
        tag = {"echoes": 0x00189082}.get(world.kind, 0x00089208)
        found.append((tag, lambda frame: frame.volume + 1))
    if len(world.volumes[0].parts) > 1:
        name = {
            "inversion times": "InversionTime",
            "flip angles": "FlipAngle",
            "diffusion": "BValue",
            "cine": "cardiac",
            "gates": "cardiac",
        }.get(world.kind, "time")
        found.append((_POINTERS[name], lambda frame: frame.time + 1))
    return found


def _group(world: World, frame: Frame, axes: list[tuple[int, Any]] | None) -> bytes:
    said = frame.said
    macros: dict[int, list[tuple[int, bytes]]] = {}
    for name, (macro, tag, vr) in _GROUPS.items():
        if name in said and said[name] != "":
            macros.setdefault(macro, []).append(_put(tag, vr, said[name]))
    content = macros.setdefault(_CONTENT, [])
    date, time = said.get("AcquisitionDate"), said.get("AcquisitionTime")
    if date and time:
        content.append(_put(0x00189074, "DT", date + time))
    content.append(_put(0x00209056, "SH", said["Stack"]))
    content.append(_put(0x00209057, "UL", frame.slice + 1))
    if axes is not None:
        indices = (int(said["Stack"] or 1), frame.slice + 1, *(read(frame) for _, read in axes))
        content.append(_put(0x00209157, "UL", indices))
    macros[_PLANE_POSITION] = [_put(0x00200032, "DS", frame.position)]
    macros[_PLANE_ORIENTATION] = [_put(0x00200037, "DS", frame.orientation)]
    macros.setdefault(_MEASURES, []).append(_put(0x00280030, "DS", frame.spacing))
    kind = 0x00189226 if world.modality == "MR" else 0x00189329
    macros[kind] = [_put(0x00089007, "CS", image_type(world, frame))]
    if "BValue" in said:
        macros[0x00189117] = _weighting(said)
    if "Label" in said:
        macros[0x00189251] = [_put(0x00189257, "CS", said["Label"])]
    return data_set([(tag, sequence(tag, [data_set(found)])) for tag, found in macros.items()])


def _weighting(said: Said) -> list[tuple[int, bytes]]:
    gradient = said.get("Gradient")
    found = [
        _put(0x00189087, "FD", said["BValue"]),
        _put(0x00189075, "CS", "NONE" if gradient is None else "DIRECTIONAL"),
    ]
    if gradient is not None:
        inner = element(0x00189089, "FD", gradient)
        found.append((0x00189076, sequence(0x00189076, [inner])))
    return found
