"""The phantom's images hold the truth at the places that their own headers give."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.cli.demo.phantom import Study, ct_study, mr_study

NOW = datetime(2025, 3, 4, 9, 30, 0)  # noqa: DTZ001  DICOM times are the scanner's local time


def points(image: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RAS mm of each pixel by PS3.3 C.7.6.2.1.1, from nothing but the header."""
    row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    origin = np.array(image.ImagePositionPatient, float)
    between_rows, between_columns = (float(value) for value in image.PixelSpacing)
    i, j = np.meshgrid(np.arange(image.Columns), np.arange(image.Rows))
    left, posterior, superior = (
        origin[axis] + row[axis] * between_columns * i + column[axis] * between_rows * j
        for axis in range(3)
    )
    return -left, -posterior, superior


@pytest.fixture(scope="module")
def ct() -> Study:
    return ct_study(NOW, (40, 36, 12))


@pytest.fixture(scope="module")
def mr() -> Study:
    return mr_study(NOW, (24, 20, 8, 3))


def test_ct_pixels_are_the_truth_where_the_header_says(ct: Study) -> None:
    for image in ct.data_sets:
        stored = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        assert np.abs(stored - ct.truth(points(image), 0)).max() <= 0.51


def test_mr_pixels_are_the_truth_at_their_time(mr: Study) -> None:
    for image in mr.data_sets:
        time = int(image.TemporalPositionIdentifier) - 1
        assert np.abs(image.pixel_array - mr.truth(points(image), time)).max() <= 0.51


def test_the_time_points_differ(mr: Study) -> None:
    middle = [image for image in mr.data_sets if image.TemporalPositionIdentifier == 2]
    first = [image for image in mr.data_sets if image.TemporalPositionIdentifier == 1]
    assert any(
        not np.array_equal(a.pixel_array, b.pixel_array) for a, b in zip(first, middle, strict=True)
    )


def test_both_are_oblique_about_all_three_axes(ct: Study, mr: Study) -> None:
    for study in (ct, mr):
        cosines = np.array(study.data_sets[0].ImageOrientationPatient, float)
        assert (np.abs(cosines) > 0.02).all()
        assert np.allclose(np.linalg.norm(cosines.reshape(2, 3), axis=1), 1, atol=1e-9)


def test_left_and_right_differ(ct: Study) -> None:
    pellet = (np.array([-90.0]), np.array([-8.0]), np.array([-4.0]))
    mirrored = (-pellet[0], pellet[1], pellet[2])
    assert ct.truth(pellet, 0)[0] > 2000
    assert ct.truth(mirrored, 0)[0] < 100


def test_every_instance_is_one_of_its_own(ct: Study, mr: Study) -> None:
    for study, count in ((ct, 12), (mr, 24)):
        assert len({image.SOPInstanceUID for image in study.data_sets}) == count
        assert {image.SeriesInstanceUID for image in study.data_sets} == {study.series_uid}
    assert mr.times == 3


def test_written_files_can_be_read_back(ct: Study, tmp_path) -> None:
    import pydicom

    ct.save(tmp_path / "ct")
    files = sorted((tmp_path / "ct").iterdir())
    assert len(files) == 12
    assert pydicom.dcmread(files[3]).InstanceNumber == 4
