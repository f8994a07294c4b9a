"""Arterial spin labeling by the standard's macro (PS3.3 C.8.13.5.14), of any maker."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from node.assemble.series import VolumePlan, plan
from node.assemble.sidecar.sidecar import make_sidecar
from node.assemble.sidecar.spin_labeling import volume_types
from tests.phantom import Phantom
from tests.unit.assemble.build import changed, header
from tests.unit.assemble.test_enhanced import enhanced, item

CONTEXTS = ("M_ZERO_SCAN", "CONTROL", "LABEL", "CONTROL", "LABEL")
PHANTOM = Phantom(volumes=len(CONTEXTS))


def labeled(contexts: tuple[str, ...] = CONTEXTS, **macro: Any) -> Dataset:
    """Five volumes in one instance, of which the macro of each frame says what they are."""
    made = enhanced(PHANTOM)
    made.Manufacturer = "Some Other Maker"
    made.ArterialSpinLabelingContrast = "PSEUDOCONTINUOUS"
    slab = item(
        ASLSlabNumber=1,
        ASLSlabThickness=20.0,
        ASLSlabOrientation=[0.0, 0.0, 1.0],
        ASLPulseTrainDuration=1800,
    )
    for index, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.MRArterialSpinLabelingSequence = item(
            ASLContext=contexts[index // PHANTOM.size[2]],
            ASLCrusherFlag="YES",
            ASLCrusherFlowLimit=5.0,
            ASLBolusCutoffFlag="NO",
            ASLSlabSequence=slab,
            **macro,
        )
    return made


def volume_of(dataset: Dataset) -> VolumePlan:
    found = plan([header(dataset)])
    assert not found.refusals
    (volume,) = found.volumes
    return volume


def fields_of(dataset: Dataset) -> dict[str, Any]:
    return make_sidecar(volume_of(dataset), identifiers=False, software="test")


def test_volumes_say_what_they_are() -> None:
    volume = volume_of(labeled())
    assert volume_types(volume) == ["m0scan", "control", "label", "control", "label"]
    fields = fields_of(labeled())
    assert fields["ArterialSpinLabelingType"] == "PCASL"
    assert (fields["LabelingDuration"], fields["LabelingSlabThickness"]) == (1.8, 20.0)
    assert fields["LabelingOrientation"] == [0.0, 0.0, 1.0]
    assert (fields["VascularCrushing"], fields["VascularCrushingVENC"]) == (True, 5.0)
    assert fields["BolusCutOffFlag"] is False
    assert (fields["TotalAcquiredPairs"], fields["M0Type"]) == (2, "Included")
    assert "ASLContext" not in fields


def test_a_cut_off_bolus_has_its_time() -> None:
    timing = item(ASLBolusCutoffTechnique="QUIPSSII", ASLBolusCutoffDelayTime=700)
    made = labeled()
    for group in made.PerFrameFunctionalGroupsSequence:
        changed(
            group.MRArterialSpinLabelingSequence[0],
            ASLBolusCutoffFlag="YES",
            ASLBolusCutoffTimingSequence=timing,
        )
    fields = fields_of(made)
    assert fields["BolusCutOffFlag"] is True
    assert (fields["BolusCutOffDelayTime"], fields["BolusCutOffTechnique"]) == (0.7, "QUIPSSII")


def test_without_a_word_for_one_volume_there_is_no_table() -> None:
    volume = volume_of(labeled(("M_ZERO_SCAN", "CONTROL", "LABEL", "CONTROL", "ELSE")))
    assert volume_types(volume) == []
    fields = fields_of(labeled(("CONTROL", "LABEL", "CONTROL", "LABEL", "")))
    assert "TotalAcquiredPairs" not in fields
    assert "M0Type" not in fields
