"""Gradients come back on the axes of the array as written, whoever wrote them and however."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.assemble.series import VolumePlan, plan
from node.assemble.sidecar.diffusion import Gradients, gradients, to_fsl
from tests.phantom import Matrix, Phantom, oblique
from tests.unit.assemble import weighted
from tests.unit.assemble.build import headers

ANGLES = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
COMPONENT = st.floats(-1, 1)
DIRECTIONS = st.tuples(COMPONENT, COMPONENT, COMPONENT).filter(lambda v: np.linalg.norm(v) > 0.2)
EXACT = 2e-5
"""Directions are written with six significant digits, twice."""


def weighting(phantom: Phantom, given: Any, write: weighted.Writer) -> tuple[VolumePlan, Gradients]:
    found = plan(headers(weighted.series(phantom, given, write)))
    assert not found.refusals
    (volume,) = found.volumes
    result = gradients(volume)
    assert result is not None
    return volume, result


def in_patient(volume: VolumePlan, direction: Any) -> Matrix:
    """A direction of a .bvec as FSL reads it, in LPS."""
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    along = np.array(direction)
    if np.linalg.det(axes) > 0:
        along[0] = -along[0]
    return np.diag([-1.0, -1.0, 1.0]) @ axes @ along


def unit(vector: Any) -> Matrix:
    return np.asarray(np.array(vector) / np.linalg.norm(vector))


@settings(max_examples=40, deadline=None)
@given(angles=ANGLES, direction=DIRECTIONS)
def test_standard_directions_are_the_patients(angles: Any, direction: Any) -> None:
    direction = tuple(unit(direction).tolist())
    phantom = Phantom(rotation=oblique(angles))
    volume, found = weighting(phantom, [None, direction], weighted.standard)
    assert found.b_values == (0, 1000)
    assert found.directions[0] == (0, 0, 0)
    assert np.allclose(in_patient(volume, found.directions[1]), direction, atol=EXACT)


@settings(max_examples=40, deadline=None)
@given(angles=ANGLES, direction=DIRECTIONS)
def test_uih_directions_are_the_images(angles: Any, direction: Any) -> None:
    direction = tuple(unit(direction).tolist())
    phantom = Phantom(rotation=oblique(angles))
    volume, found = weighting(phantom, [None, direction], weighted.uih)
    assert np.allclose(
        in_patient(volume, found.directions[1]), phantom.rotation @ direction, atol=EXACT
    )


def test_old_philips_directions_are_the_patients() -> None:
    direction = tuple(unit((0.2, -0.5, 0.8)).tolist())
    phantom = Phantom(rotation=oblique((0.3, -0.2, 0.5)))
    volume, found = weighting(phantom, [None, direction], weighted.old_philips)
    assert found.b_values == (0, 1000)
    assert np.allclose(in_patient(volume, found.directions[1]), direction, atol=EXACT)


LOGICAL = {
    ("axial", "COL"): (-1, -2, 3),
    ("sagittal", "COL"): (1, 2, -3),
    ("coronal", "COL"): (-1, 2, 3),
    ("prone", "COL"): (-1, -2, 3),
    ("decubitus", "COL"): (-1, -2, 3),
    ("axial", "ROW"): (-2, 1, 3),
    ("sagittal", "ROW"): (2, -1, -3),
    ("coronal", "ROW"): (2, 1, 3),
    ("prone", "ROW"): (-2, 1, 3),
    ("decubitus", "ROW"): (-2, 1, 3),
}
"""Frequency (1), phase (2) and slice (3), signed, along a row, along a column, along the normal."""


@pytest.mark.parametrize(("plane", "phase"), LOGICAL)
@pytest.mark.parametrize("tilt", [0.0, 0.25])
def test_ge_directions_are_the_scanners_logical_axes(plane: str, phase: str, tilt: float) -> None:
    direction = unit((0.2, 0.5, 0.84))
    phantom = Phantom(rotation=weighted.PLANES[plane] @ oblique((tilt, -tilt, tilt)))
    given = [None, tuple(direction.tolist())]
    volume, found = weighting(phantom, given, weighted.ge(phase, 1_000_001_000))
    image = [np.sign(axis) * direction[abs(axis) - 1] for axis in LOGICAL[plane, phase]]
    assert found.b_values == (0, 1000)
    assert np.allclose(in_patient(volume, found.directions[1]), phantom.rotation @ image, atol=1e-4)


@pytest.mark.parametrize(("plane", "phase"), LOGICAL)
def test_canon_exchanges_frequency_and_phase(plane: str, phase: str) -> None:
    frequency_first = tuple(unit((0.2, 0.5, 0.84)).tolist())
    phase_first = (frequency_first[1], frequency_first[0], frequency_first[2])
    phantom = Phantom(rotation=weighted.PLANES[plane])
    _, of_ge = weighting(phantom, [None, frequency_first], weighted.ge(phase))
    _, of_canon = weighting(phantom, [None, phase_first], weighted.canon(phase))
    assert of_canon.b_values == of_ge.b_values
    assert np.allclose(of_canon.directions, of_ge.directions, atol=1e-4)


@pytest.mark.parametrize("maker", ["CANON_MEC", "TOSHIBA_MEC", "Hitachi Medical Corporation"])
def test_the_standards_direction_is_the_patients_whoever_writes_it(maker: str) -> None:
    """PS3.3 C.8.13.5.9: (0018,9089) is relative to the patient, however oblique the image."""

    def write(dataset: Dataset, direction: Any) -> None:
        weighted.standard(dataset, direction)
        dataset.Manufacturer, dataset.InPlanePhaseEncodingDirection = maker, "COL"

    direction = unit((0.2, 0.5, -0.84))
    phantom = Phantom(rotation=oblique((0.2, -0.3, 0.4)))
    volume, found = weighting(phantom, [None, tuple(direction.tolist())], write)
    assert np.allclose(in_patient(volume, found.directions[1]), direction, atol=EXACT)


def test_ge_shells_scale_with_the_square_of_the_direction() -> None:
    given = [None, (0.6, 0.0, 0.0), (0.0, 1.0, 0.0)]
    _, found = weighting(Phantom(), given, weighted.ge("COL"))
    assert found.b_values == (0, 360, 1000)
    assert np.allclose(np.abs(found.directions[1]), (1, 0, 0))


def test_ge_adds_a_thousand_million_to_b_values() -> None:
    """Software since release 24 does, in some series to those of 0 too."""
    given = [None, (1.0, 0.0, 0.0)]
    for offset in (0, 1_000_000_000):
        datasets = weighted.series(Phantom(), given, weighted.ge("COL"))
        for dataset in datasets:
            stated = dataset[0x00431039].value[0]
            dataset[0x00431039].value = [stated + (1_000_000_000 if stated else offset), 8, 0, 0]
        (volume,) = plan(headers(datasets)).volumes
        assert [row[0].frame.b_value for row in volume.grid] == [0, 1000]


def test_ge_without_a_phase_direction_has_no_gradients() -> None:
    phantom = Phantom()
    datasets = weighted.series(phantom, [None, (1.0, 0.0, 0.0)], weighted.ge("COL"))
    for dataset in datasets:
        del dataset.InPlanePhaseEncodingDirection
    (volume,) = plan(headers(datasets)).volumes
    assert gradients(volume) is None


def test_fsl_negates_the_first_component_where_the_determinant_is_positive() -> None:
    assert to_fsl((1.0, 0.0, 0.0), np.eye(4)) == (1.0, 0.0, 0.0)  # -x in RAS, negated
    assert to_fsl((1.0, 0.0, 0.0), np.diag([-1.0, 1.0, 1.0, 1.0])) == (1.0, 0.0, 0.0)
    assert to_fsl((0.0, 1.0, 0.0), np.eye(4)) == (0.0, -1.0, 0.0)


def test_volumes_that_mix_weightings_are_refused_rather_than_guessed() -> None:
    phantom = Phantom()
    datasets = weighted.series(phantom, [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)], weighted.standard)
    first, second = datasets[0], datasets[phantom.size[2]]
    first.DiffusionGradientOrientation, second.DiffusionGradientOrientation = (
        second.DiffusionGradientOrientation,
        first.DiffusionGradientOrientation,
    )
    found = plan(headers(datasets))
    assert not found.volumes
    assert [str(error.reason) for error in found.refusals] == ["ambiguous-order"]
