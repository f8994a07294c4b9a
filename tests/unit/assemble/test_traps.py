"""What real data do to converters: twins, numbers within one UID, midnight, images of images."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from node.assemble.order.volume_times import times_of
from node.assemble.series import plan
from node.assemble.sidecar.sidecar import make_sidecar
from node.assemble.sidecar.timing_fields import timing_fields
from tests.phantom import PET, Phantom
from tests.unit.assemble.build import changed, header, headers
from tests.unit.assemble.test_enhanced import enhanced


def test_classic_and_enhanced_twins_under_one_uid_are_two_volumes() -> None:
    twin = changed(enhanced(Phantom()), SOPInstanceUID="1.2.99")
    result = plan([*headers(Phantom().instances()), header(twin)])
    assert not result.refusals
    assert [volume.shape for volume in result.volumes] == [(6, 5, 4)] * 2
    for volume in result.volumes:
        assert len({piece.header.sop_class_uid for row in volume.grid for piece in row}) == 1


def test_one_uid_with_several_series_numbers_is_several_volumes() -> None:
    made: list[Dataset] = []
    for number in (3, 4, 5):
        made += [changed(one, SeriesNumber=number) for one in Phantom().instances()]
    result = plan(headers(made))
    assert not result.refusals
    assert [volume.first.header.series_number for volume in result.volumes] == [3, 4, 5]


@pytest.mark.parametrize(
    "known", [{}, {"SeriesDate": "20240131"}, {"SeriesDate": "20240131", "SeriesTime": "235700"}]
)
@pytest.mark.parametrize("dated", [True, False])
def test_an_acquisition_over_midnight_goes_on(dated: bool, known: dict[str, str]) -> None:
    """Three frames of PET, 40 s each, from 23:59:00 on."""
    phantom = Phantom(sop_class=PET, volumes=3)
    made = phantom.instances()
    for index, one in enumerate(made):
        volume = index // 4
        changed(one, TemporalPositionIdentifier=None, InstanceNumber=None)
        changed(one, **known)
        one.AcquisitionTime = ("235900", "235940", "000020")[volume]
        if dated:
            one.AcquisitionDate = ("20240131", "20240131", "20240201")[volume]
    (volume,) = plan(headers(made)).volumes
    assert volume.defined_by == "Acquisition Time"
    order = [row[0].uid.rpartition(".")[2] for row in volume.grid]
    assert order == ["1", "5", "9"]
    assert "VolumeTiming" not in timing_fields(volume, times_of(volume))
    fields = make_sidecar(volume, identifiers=True, software="1")
    assert fields["FrameTimesStart"] == [0.0, 40.0, 80.0]
    assert ("AcquisitionDateTime" in fields) is (dated or "SeriesTime" in known)


def test_a_scan_of_the_next_day_stays_there() -> None:
    made = Phantom(volumes=2).instances()
    for index, one in enumerate(made):
        changed(one, TemporalPositionIdentifier=None, InstanceNumber=None)
        one.AcquisitionDate = ("20240131", "20240201")[index // 4]
        one.AcquisitionTime = ("080000", "235000")[index // 4]
    (volume,) = plan(headers(made)).volumes
    assert [row[0].uid.rpartition(".")[2] for row in volume.grid] == ["1", "5"]


def test_an_image_computed_of_a_series_does_not_join_it() -> None:
    phantom = Phantom(volumes=3)
    made = phantom.instances()
    for one in made[8:]:
        one.ImageType = ["DERIVED", "PRIMARY", "M", "ADC"]
    result = plan(headers(made))
    assert not result.refusals
    assert sorted(volume.shape for volume in result.volumes) == [(6, 5, 4), (6, 5, 4, 2)]
