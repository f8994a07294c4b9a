"""From elements to headers, and headers through msgpack."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian

from node.assemble.frames.headers import decode_header, describe, encode_header
from node.assemble.frames.model import FrameHeader, InstanceHeader
from node.assemble.pixels.voxel_values import as_displayed
from node.assemble.sidecar.standard_fields import DAY, SECOND, date_time, moment, time_of_day
from node.core.errors import MalformedDataSet, Reason
from node.dicom import scan
from tests.phantom import Phantom
from tests.unit.assemble.build import changed, data_set, header


def test_a_classic_instance_is_described() -> None:
    found = header(
        changed(
            Phantom(volumes=2).instance(1, 1),
            EchoTime="30.5",
            EchoNumbers=2,
            AcquisitionDate="20200102",
            AcquisitionTime="101112.5",
            RescaleSlope="2",
            RescaleIntercept="-5",
            Manufacturer="SIEMENS",
            RepetitionTime=2000,
            SliceLocation=15,
        )
    )
    (frame,) = found.frames
    assert (frame.rows, frame.columns, frame.number, frame.temporal) == (5, 6, 6, 2)
    assert (frame.echo, frame.echo_time, frame.kind) == (2, 30.5, "magnitude")
    assert (frame.slope, frame.intercept, frame.location) == (2.0, -5.0, 15.0)
    assert frame.spacing == (2.0, 1.5)
    assert frame.acquired is not None
    assert frame.acquired % DAY == (10 * 3600 + 11 * 60 + 12) * SECOND + 500_000
    assert found.vendor == "Siemens"
    assert found.facts["RepetitionTime"] == 2.0
    assert found.facts["PatientName"] == "Phantom^Test"
    assert found.pixels is not None
    assert (found.pixels.bits_stored, found.pixels.signed, found.pixels.swapped) == (
        12,
        False,
        False,
    )
    assert found.problem is None


def test_headers_go_through_msgpack_unchanged() -> None:
    found = header(changed(Phantom().instance(0), ProtocolName="ä", FlipAngle=12.5))
    assert decode_header(encode_header(found)) == found


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Rows": None}, Reason.NOT_AN_IMAGE),
        ({"PixelData": None}, Reason.NO_PIXEL_DATA),
        ({"NumberOfFrames": 3}, Reason.NO_GEOMETRY),
        (
            {"ImageType": "ORIGINAL\\PRIMARY\\M\\MOSAIC", "Manufacturer": "SIEMENS"},
            Reason.MOSAIC_UNDECODABLE,
        ),
    ],
)
def test_what_is_no_image_is_named(attributes: dict[str, object], reason: Reason) -> None:
    found = header(changed(Phantom().instance(0), **attributes))
    assert found.problem is not None
    assert found.problem.reason is reason
    assert decode_header(encode_header(found)) == found


def test_philips_precise_scaling_and_its_way_back() -> None:
    dataset = changed(
        Phantom().instance(0),
        Manufacturer="Philips Medical Systems", RescaleSlope="2.5", RescaleIntercept="-10",
    )  # fmt: skip
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", 0.5)
    found = header(dataset)
    (frame,) = found.frames
    stored = 7.0
    assert frame.slope * stored + frame.intercept == pytest.approx((7 * 2.5 - 10) / (2.5 * 0.5))
    (plain,) = as_displayed(found).frames
    assert (plain.slope, plain.intercept) == (2.5, -10.0)


def test_times() -> None:
    assert time_of_day("101112.25") == 36672 * SECOND + 250_000
    assert time_of_day("10:11:12") == 36672 * SECOND
    assert time_of_day("10") == 36000 * SECOND
    assert time_of_day("1x") is time_of_day("1²") is time_of_day("101112.²") is None
    before, after = moment("20200101", "235959"), moment("20200102", "000001")
    assert before is not None
    assert after is not None
    assert after - before == 2 * SECOND
    assert date_time("20200101235959.000000+0100") == before
    assert moment("20209999", "10") == 36000 * SECOND


def test_times_of_a_header_in_an_older_index_are_in_seconds() -> None:
    frame = FrameHeader(0, 2, 3, acquisition_time=36672.25, content_time=63_713_000_000.5)
    packed = encode_header(InstanceHeader("1", "2", "3", "4", frames=(frame,)))
    (found,) = decode_header(packed).frames
    assert found.acquired == 36_672_250_000
    assert found.shown == 63_713_000_000_500_000


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(0, 600))
def test_damage_never_raises(noise: bytes, at: int) -> None:
    whole = data_set(Phantom().instance(0))
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    try:
        elements = scan(damaged, ExplicitVRLittleEndian).elements
    except MalformedDataSet:
        return
    found = describe(elements)
    assert decode_header(encode_header(found)) == found
