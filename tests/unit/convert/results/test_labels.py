"""What the numbers of a mask mean, and what cannot be a list of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from node.convert.results import (
    Algorithm,
    Code,
    Label,
    ResultError,
    ResultOptions,
    read_codes,
    read_labels,
    to_rtstruct,
    to_seg,
)
from tests.phantom import Phantom
from tests.unit.convert.results.worlds import grid_of, reread

LIVER = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
ORGAN = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}


def made(values: list[int], labels: Any, **options: Any) -> Any:
    """A segmentation with so many labels, a slice each."""
    phantom = Phantom(size=(6, 5, max(4, len(values))))
    grid = grid_of(phantom)
    mask = np.zeros(grid.shape, np.int32)
    for k, value in enumerate(values):
        mask[1:3, 1:3, k] = value
    codes = options.pop("codes", None)
    listed = None if labels is None else read_labels(labels)
    result = to_seg(
        grid, phantom.instances()[0], mask, listed, ResultOptions(**options), codes=codes
    )
    return reread(result)


def test_the_list_that_the_node_writes() -> None:
    found = read_labels(
        {"Labels": [
            {"value": 0, "name": "background"},
            {"value": 2, "name": "Liver", "colour": [1, 2, 3], "category": ORGAN, "type": LIVER},
            {"value": 5.0, "name": "Tumour, left"},
        ]}
    )  # fmt: skip
    code = Code("10200004", "SCT", "Liver")
    organ = Code("91723000", "SCT", "Anatomical Structure")
    assert found == [Label(2, "Liver", (1, 2, 3), organ, code), Label(5, "Tumour, left")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (3, "no list"),
        ({"Labels": 3}, "no list"),
        ({"Labels": "abc"}, "no list"),
        ([5], "entry 1"),
        ([{"value": "x"}], "entry 1"),
        ([{"value": 1.5}], "whole number"),
        ([{"value": -1}], "whole number"),
        ([{"value": True}], "whole number"),
        ([{"value": 1}, {"value": 1}], "twice"),
        ([{"value": 1, "name": ""}], "characters"),
        ([{"value": 1, "name": "x" * 65}], "65 characters"),
        ([{"value": 1, "name": "a\\b"}], "backslash"),
        ([{"value": 1, "name": "a\nb"}], "control"),
        ([{"value": 1, "name": 7}], "no text"),
        ([{"value": 1, "colour": [1, 2]}], "colour"),
        ([{"value": 1, "colour": [1, 2, 300]}], "colour"),
        ([{"value": 1, "type": {"value": "1"}}], "code"),
        ([{"value": 1, "type": "liver"}], "code"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(content: Any, said: str) -> None:
    with pytest.raises(ResultError, match=f"bad-labels: .*{said}"):
        read_labels(content)


def test_numbers_run_from_one_and_the_label_is_said() -> None:
    result = made([300, 7, 70000], [{"value": n, "name": f"N{n}"} for n in (7, 300, 70000, 9)])
    found = [(one.SegmentNumber, one.SegmentLabel, one.SegmentDescription)
             for one in result.SegmentSequence]  # fmt: skip
    assert found == [(1, "N7", "label 7"), (2, "N300", "label 300"), (3, "N70000", "label 70000")]


def test_without_a_list_each_number_has_a_name() -> None:
    result = made([4, 2], None)
    assert [one.SegmentLabel for one in result.SegmentSequence] == ["Label 2", "Label 4"]
    (first, second) = (tuple(one.RecommendedDisplayCIELabValue) for one in result.SegmentSequence)
    assert first != second


def test_a_number_without_a_name_is_refused() -> None:
    with pytest.raises(ResultError, match=r"unknown-label: .*: 8\."):
        made([4, 8], [{"value": 4, "name": "Four"}])


@pytest.mark.parametrize(
    ("name", "category", "kind", "side"),
    [
        ("Liver", "91723000", "10200004", None),
        ("kidney_left", "91723000", "64033007", "7771000"),
        ("RightKidney", "91723000", "64033007", "24028007"),
        ("Tumour", "49755003", "108369006", None),
        ("something new", "85756007", "85756007", None),
    ],
)
def test_names_have_the_codes_of_the_standard(
    name: str, category: str, kind: str, side: str | None
) -> None:
    (item,) = made([1], [{"value": 1, "name": name}]).SegmentSequence
    assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == category
    (code,) = item.SegmentedPropertyTypeCodeSequence
    assert code.CodeValue == kind
    modifiers = code.get("SegmentedPropertyTypeModifierCodeSequence", [])
    assert [one.CodeValue for one in modifiers] == ([side] if side else [])


def test_codes_of_a_file_come_first() -> None:
    mine = {"value": "X1", "scheme": "99MINE", "meaning": "My liver"}
    codes = read_codes({"liver": {"type": mine}})
    (item,) = made([1], [{"value": 1, "name": "Liver"}], codes=codes).SegmentSequence
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == "X1"
    for wrong in (3, {"liver": 3}, {"liver": {"category": mine}}):
        with pytest.raises(ResultError, match="bad-labels"):
            read_codes(wrong)


def test_who_made_it() -> None:
    (person,) = made([1], None).SegmentSequence
    assert person.SegmentAlgorithmType == "MANUAL"
    (machine,) = made([1], None, algorithm=Algorithm("Net", "2.3")).SegmentSequence
    assert (machine.SegmentAlgorithmType, machine.SegmentAlgorithmName) == ("AUTOMATIC", "Net")
    (identified,) = machine.SegmentationAlgorithmIdentificationSequence
    assert identified.AlgorithmVersion == "2.3"


@pytest.mark.parametrize("colour", [(255, 0, 0), (10, 200, 30), (128, 128, 128), (0, 0, 0)])
def test_a_colour_comes_back_from_cielab(colour: tuple[int, int, int]) -> None:
    from node.assemble.volumes.labels import _srgb

    (item,) = made([1], [{"value": 1, "name": "One", "colour": list(colour)}]).SegmentSequence
    back = _srgb([float(value) for value in item.RecommendedDisplayCIELabValue])
    assert back is not None
    # White of D50 is read as that of D65: a hue moves by a little.
    assert max(abs(a - b) for a, b in zip(back, colour, strict=True)) <= 40


def test_regions_of_a_structure_set() -> None:
    phantom = Phantom()
    grid = grid_of(phantom)
    mask = np.zeros(grid.shape, np.uint8)
    mask[1:4, 1:4, 1] = 9
    labels = read_labels([{"value": 9, "name": "Nine", "colour": [9, 8, 7]}])
    result = reread(to_rtstruct(grid, phantom.instances()[0], mask, labels))
    (region,) = result.StructureSetROISequence
    assert (region.ROINumber, region.ROIName, region.ROIDescription) == (1, "Nine", "label 9")
    (contours,) = result.ROIContourSequence
    assert list(contours.ROIDisplayColor) == [9, 8, 7]
    (contour,) = contours.ContourSequence
    assert (contour.ContourGeometricType, contour.NumberOfContourPoints) == ("CLOSED_PLANAR", 4)
