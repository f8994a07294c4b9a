"""Copies of images under new UIDs: left out where that is certain, never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from node import load_dicom
from node.convert import convert_series, read_folder
from node.core.errors import Reason
from tests.phantom import Phantom, save
from tests.unit.assemble.build import changed


def again(datasets: list[Dataset], numbered_from: int = 0) -> list[Dataset]:
    """The same images under new UIDs, with the same Instance Numbers or with others."""
    for dataset in datasets:
        dataset.SOPInstanceUID += ".1"
        dataset.InstanceNumber += numbered_from
    return datasets


def test_images_that_were_sent_again_under_new_uids_are_left_out(tmp_path: Path) -> None:
    for name, numbered_from in (("same", 0), ("other", 4)):
        both = [*Phantom().instances(), *again(Phantom().instances(), numbered_from)]
        folder = tmp_path / name
        save(both, folder)
        (series,) = read_folder([folder])[0]
        made = convert_series(series.instances, tmp_path / f"{name}-out", "x")
        assert [product.shape for product in made.products] == [(6, 5, 4)]
        assert [one.reason for one in made.left_out] == [
            "the same image under another SOP Instance UID"
        ] * 4
        assert not made.refusals


def test_images_of_other_values_are_times_and_not_copies(tmp_path: Path) -> None:
    later = again(Phantom().instances(), 4)
    for dataset in later:
        dataset.PixelData = np.roll(np.frombuffer(dataset.PixelData, "<u2"), 1).tobytes()
    save([*Phantom().instances(), *later], tmp_path)
    assert load_dicom(tmp_path).array.shape == (6, 5, 4, 2)


def test_an_empty_slice_is_no_proof_of_a_copy(tmp_path: Path) -> None:
    later = again(Phantom().instances(), 4)
    everything = [*Phantom().instances(), *later]
    for dataset in later[1:]:
        dataset.PixelData = np.roll(np.frombuffer(dataset.PixelData, "<u2"), 1).tobytes()
    for dataset in (everything[0], everything[4]):
        changed(dataset, PixelData=bytes(60))
    save(everything, tmp_path)
    assert load_dicom(tmp_path).array.shape == (6, 5, 4, 2)


def test_one_image_with_other_values_is_refused(tmp_path: Path) -> None:
    other = again([Phantom().instance(2)])
    other[0].PixelData = np.roll(np.frombuffer(other[0].PixelData, "<u2"), 1).tobytes()
    save([*Phantom().instances(), *other], tmp_path)
    (series,) = read_folder([tmp_path])[0]
    made = convert_series(series.instances, tmp_path / "out", "x")
    assert [error.reason for error in made.refusals] == [Reason.DUPLICATE_POSITION]
