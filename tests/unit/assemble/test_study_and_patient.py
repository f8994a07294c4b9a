"""Files of two patients or studies under one Series Instance UID: `convert` and `load_dicom`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import pytest
import typer
from pydicom import dcmread
from pydicom.dataset import Dataset
from typer.testing import CliRunner

import node
from node.assemble.frames.model import InstanceHeader
from node.assemble.study_and_patient import contradiction, parted
from node.cli.convert.command import convert
from node.core.errors import AssemblyError, Reason
from tests.small import small_ct

app = typer.Typer()
app.command()(convert)
SLICES = 8
Change = Callable[[Dataset], None]


def another(image: Dataset) -> None:
    image.PatientID, image.PatientName, image.PatientBirthDate = "OTHER", "Other^One", "19700101"


def elsewhere(image: Dataset) -> None:
    image.StudyInstanceUID = "1.2.3.4"


def given_twice(image: Dataset) -> None:
    image.PatientName, image.PatientBirthDate = "Other^One", "19700101"


def files(folder: Path, *parts: tuple[int, int, Change | None]) -> Path:
    """A CT whose slices are written as they are, and changed.

    Args:
        parts: first and last slice, and what is done to them.
    """
    paths = small_ct(folder / "whole", SLICES, announced=False)
    target = folder / "in"
    target.mkdir()
    for number, (first, last, change) in enumerate(parts):
        for place in range(first, last):
            image = dcmread(paths[place])
            image.PatientBirthDate = "19800101"
            if change is not None:
                change(image)
            image.save_as(target / f"{number}-{place}.dcm")
    return target


def converted(source: Path, target: Path) -> tuple[list[str], str]:
    """The images that come out, and what is said of the rest."""
    result = CliRunner().invoke(app, [str(source), str(target)])
    return sorted(path.name for path in target.rglob("*.nii.gz")), result.output


@pytest.mark.parametrize("change", [another, elsewhere, given_twice])
def test_one_series_of_two_is_refused_by_name(tmp_path: Path, change: Change) -> None:
    source = files(tmp_path, (0, 4, None), (4, SLICES, change))
    made, said = converted(source, tmp_path / "out")
    assert made == []
    assert "contradictory-identity" in said
    assert "4 as" in said
    for identifier in ("OTHER", "SMALL", "Other", "19700101"):
        assert identifier not in said
    with pytest.raises(AssemblyError) as refusal:
        node.load_dicom(source)
    assert refusal.value.reason is Reason.CONTRADICTORY_IDENTITY
    assert len(refusal.value.instances) == 2


@pytest.mark.parametrize("change", [another, elsewhere, given_twice])
@pytest.mark.parametrize("copied", [SLICES, 5])
def test_copies_are_volumes_by_themselves(tmp_path: Path, change: Change, copied: int) -> None:
    source = files(tmp_path, (0, SLICES, None), (0, copied, change))
    made, said = converted(source, tmp_path / "out")
    assert len(made) == 2, said
    volumes = node.load_all(source)
    assert sorted(one.array.shape[2] for one in volumes) == sorted([SLICES, copied])
    assert len({one.series_instance_uid for one in volumes}) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"PatientID": "small "},
        {"PatientID": ""},
        {"PatientID": None, "PatientName": None},
        {"PatientName": "SMALL^PATIENT^^"},
        {"PatientName": "Married^Name"},
        {"PatientBirthDate": None},
    ],
)
def test_padding_capitals_and_what_is_missing_contradict_nothing(
    tmp_path: Path, said: dict[str, str | None]
) -> None:
    def change(image: Dataset) -> None:
        for keyword, value in said.items():
            if value is None:
                del image[keyword]
            else:
                setattr(image, keyword, value)

    volume = node.load_dicom(files(tmp_path, (0, 4, change), (4, SLICES, None)))
    assert volume.array.shape[2] == SLICES


def header(**facts: str) -> InstanceHeader:
    return InstanceHeader("1.1", "1.2", "1.3", facts.pop("study", "1.4"), facts={**facts})


def test_parts_do_not_depend_on_the_order() -> None:
    headers = (
        header(),
        header(PatientID="A"),
        header(PatientName="N"),
        header(PatientID="A", PatientName="N"),
        header(PatientID="B"),
        header(study=""),
    )

    def found(order: Sequence[InstanceHeader]) -> object:
        return sorted(
            (part.study_uid, part.person, sorted(repr(order[place].facts) for place in part.places))
            for part in parted(order)
        )

    assert len({json.dumps(found(order)) for order in permutations(headers)}) == 1
    assert len(parted(headers)) == 2
    assert contradiction(headers[:4]) is None
