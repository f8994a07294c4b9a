"""Siemens' mosaics and CSA headers, made from a phantom as scanners write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from struct import pack
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.phantom import Matrix, Phantom, code, decimal
from tests.unit.assemble.weighted import private

CSA = "SIEMENS CSA HEADER"
MR_HEADER = "SIEMENS MR HEADER"
SERIES, IMAGE = "SIEMENS MR SDS 01", "SIEMENS MR SDI 02"
Tags = Mapping[str, tuple[str, Sequence[object]]]
"""Name -> VR and values."""


def csa2(tags: Tags) -> bytes:
    """A header of the later kind, SV10: six items or more, if any."""
    made = b"SV10\4\3\2\1" + pack("<II", len(tags), 77)
    for name, (vr, values) in tags.items():
        items = [f"{value}".encode() + b"\0" for value in values]
        items += [b""] * (6 - len(items)) if items else []
        made += _tag(name, vr, len(values) if len(values) <= 6 else 0, len(items))
        for text in items:
            length = len(text)
            made += pack("<4i", length, length, 77, length) + text + b"\0" * (-length % 4)
    return made


def csa1(tags: Tags, *, surplus: bool = False) -> bytes:
    """A header of the older kind: six items if any, garbage after each NUL.

    Args:
        surplus: the length is in the first word only, too large by the first tag's items.
    """
    made = pack("<II", len(tags), 77)
    more = 0
    for index, (name, (vr, values)) in enumerate(tags.items()):
        items = [f"{value}".encode() + b"\0" for value in values]
        items += [b""] * (6 - len(items)) if items else []
        more = len(items) if index == 0 and surplus else more
        made += _tag(name, vr + "\0?", len(values), len(items))
        for text in items:
            length = len(text)
            words = (length + more, 0, 77, 0) if surplus else (length, length, 205, length)
            made += pack("<4i", *words) + text + b"?" * (-length % 4)
    return made


def csa1_surplus(tags: Tags) -> bytes:
    """The same with lengths that are too large."""
    return csa1(tags, surplus=True)


def _tag(name: str, vr: str, multiplicity: int, items: int) -> bytes:
    return pack("<64si4siII", name.encode(), multiplicity, vr.encode(), 0, items, 77)


def protocol(settings: Mapping[str, object]) -> bytes:
    """A measurement protocol; an earlier one in the same element does not count."""
    lines = "".join(f"{name}\t = \t{value}\n" for name, value in settings.items())
    decoy = b"### ASCCONV BEGIN ###\nsSliceArray.lSize = 1\n### ASCCONV END ###\n"
    return decoy + f"### ASCCONV BEGIN ###\n{lines}### ASCCONV END ###\n".encode()


@dataclass(frozen=True)
class Mosaic:
    """How a phantom's slices become a sheet.

    Attributes:
        reverse: the first tile is the last slice: the tiles run against row x column.
        numbering: image numbering is reversed: the tiles run against the protocol's slices.
        normal, planned: whether the CSA header has the normal, and the protocol the slices.
        older: CSA1 instead of CSA2.
        headerless: no CSA header; SIEMENS MR HEADER, and the protocol as XA has it.
        image: more tags of the CSA image header.
        settings: more settings of the protocol.
        between: Spacing Between Slices, mm; None leaves it out.
    """

    reverse: bool = False
    numbering: bool = False
    normal: bool = True
    planned: bool = True
    older: bool = False
    headerless: bool = False
    image: Tags = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    between: float | None = 3.0

    def but(self, **changes: Any) -> Mosaic:
        return replace(self, **changes)


def tile_order(phantom: Phantom, how: Mosaic) -> list[int]:
    """The phantom's slice in each tile."""
    order = list(range(phantom.size[2]))
    return order[::-1] if how.reverse else order


def sheet(phantom: Phantom, how: Mosaic, volume: int = 0) -> Dataset:
    """One volume as a mosaic."""
    columns, rows, slices = phantom.size
    across = math.ceil(math.sqrt(slices))
    order = tile_order(phantom, how)
    values = np.zeros((across * rows, across * columns), np.uint16)
    for place, k in enumerate(order):
        top, left = place // across * rows, place % across * columns
        values[top : top + rows, left : left + columns] = code(phantom.positions(k), volume)
    dataset = phantom.instance(0, volume)
    dataset.SOPInstanceUID = f"{phantom.series}.5.{volume + 1}"
    dataset.InstanceNumber = dataset.AcquisitionNumber = volume + 1
    dataset.Manufacturer = "SIEMENS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    dataset.MRAcquisitionType = "2D"
    dataset.ScanningSequence = "EP"
    dataset.RepetitionTime = 2000
    dataset.InPlanePhaseEncodingDirection = "COL"
    dataset.Rows, dataset.Columns = values.shape
    dataset.PixelData = values.tobytes()
    first = centre(phantom, order[0])
    half = phantom.affine[:3, :2] @ [dataset.Columns / 2, dataset.Rows / 2]
    dataset.ImagePositionPatient = decimal(first - half)
    if how.between is not None:
        dataset.SpacingBetweenSlices = how.between
    _describe(dataset, phantom, how)
    return dataset


def centre(phantom: Phantom, k: int) -> Matrix:
    """LPS mm of the middle of a slice, half a pixel beyond the middle of its pixels."""
    columns, rows, _ = phantom.size
    return np.asarray((phantom.affine @ [columns / 2, rows / 2, k, 1])[:3])


def planned(phantom: Phantom, how: Mosaic) -> dict[str, object]:
    """The slices of the protocol; components that are zero are left out."""
    order = tile_order(phantom, how)
    order = order[::-1] if how.numbering else order
    settings: dict[str, object] = {"sSliceArray.lSize": len(order), "sKSpace.ucDimension": "0x2"}
    direction = centre(phantom, order[-1]) - centre(phantom, order[0])
    normal = direction / (np.linalg.norm(direction) or 1.0)
    for index, k in enumerate(order):
        for part, vector in (("sPosition", centre(phantom, k)), ("sNormal", normal)):
            for axis, value in zip(("dSag", "dCor", "dTra"), vector.tolist(), strict=True):
                if value:
                    settings[f"sSliceArray.asSlice[{index}].{part}.{axis}"] = repr(value)
    return settings


def _describe(dataset: Dataset, phantom: Phantom, how: Mosaic) -> None:
    settings = (planned(phantom, how) if how.planned else {}) | dict(how.settings)
    slices = phantom.size[2]
    if how.headerless:
        private(dataset, 0x19, MR_HEADER, 0x0A, "US", slices)
        private(dataset, 0x21, SERIES, 0x19, "OB", protocol(settings))
        return
    tags: dict[str, tuple[str, Sequence[object]]] = {
        "EchoLinePosition": ("IS", ["32"]),
        "ICE_Dims": ("LO", ["X_1_1_1_1_1_1"]),
        "ProtocolSliceNumber": ("IS", [slices - 1 if how.numbering else 0]),
        "NumberOfImagesInMosaic": ("US", [slices]),
    }
    if how.normal:
        normal = phantom.rotation[:, 2] * (-1 if how.reverse else 1)
        tags["SliceNormalVector"] = ("FD", [f"{value:.8f}" for value in normal])
    header = (csa1 if how.older else csa2)(tags | dict(how.image))
    series = csa2({"MrProtocolVersion": ("IS", ["21710006"])}) + protocol(settings)
    private(dataset, 0x29, CSA, 0x10, "OB", header + b"\0" * (len(header) % 2))
    private(dataset, 0x29, CSA, 0x20, "OB", series + b"\0" * (len(series) % 2))
