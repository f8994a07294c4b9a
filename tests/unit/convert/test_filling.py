"""Compressed slices are decoded at the same time, and are the same volume."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from node import AssemblyError, load_dicom
from node.convert import filling
from tests.phantom import CT, Phantom, oblique, save

TURNED = Phantom(rotation=oblique((0.3, -0.2, 0.4)), sop_class=CT, size=(6, 5, 12))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parts each volume was made in at once."""
    asked: list[int] = []
    in_parallel = filling.in_parallel
    monkeypatch.setattr(filling, "available_processors", lambda: 3)
    monkeypatch.setattr(
        filling,
        "in_parallel",
        lambda work, count: (asked.append(count), in_parallel(work, count)),
    )
    return asked


def compressed(folder: Path) -> list[Path]:
    made = TURNED.instances()
    paths = save(made, folder)
    for one, path in zip(made, paths, strict=True):
        one.compress(RLELossless, generate_instance_uid=False)
        one.save_as(path, enforce_file_format=True)
    return paths


def test_several_at_once_make_the_same_volume(tmp_path: Path, parts: list[int]) -> None:
    save(TURNED.instances(), tmp_path / "plain")
    compressed(tmp_path / "packed")
    plain, packed = load_dicom(tmp_path / "plain"), load_dicom(tmp_path / "packed")
    assert parts == [3]
    assert (plain.array == packed.array).all()
    assert (plain.affine == packed.affine).all()


def test_a_slice_that_cannot_be_read_refuses_the_volume(tmp_path: Path, parts: list[int]) -> None:
    path = compressed(tmp_path)[5]
    damaged = dcmread(path)
    damaged.PixelData = encapsulate([b"\xff" * 80])
    damaged.save_as(path)
    with pytest.raises(AssemblyError) as caught:
        load_dicom(tmp_path)
    assert parts == [3]
    assert caught.value.instances == (TURNED.instance(5).SOPInstanceUID,)
