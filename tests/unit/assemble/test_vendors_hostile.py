"""Whatever private elements hold, a header is read without failing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.phantom import Phantom
from tests.unit.assemble.build import header
from tests.unit.assemble.ge_scans import epi
from tests.unit.assemble.weighted import private

ODD = st.sampled_from(["", "0", "-1", "1e30", "1e-30", "1e308", "x", "9" * 40, "0.5\\1", "\\\\"])
CREATORS = {
    "GE MEDICAL SYSTEMS": [
        (0x43, "GEMS_PARM_01", low) for low in (0x2A, 0x2C, 0x2F, 0x39, 0x7C, 0x83, 0xB6)
    ]
    + [(0x19, "GEMS_ACQU_01", low) for low in (0xBB, 0xBC, 0xBD, 0xE0)]
    + [(0x21, "GEMS_RELA_01", 0x4F), (0x25, "GEMS_SERS_01", 0x1B)],
    "Philips Medical Systems": [
        (0x2001, "Philips Imaging DD 001", low) for low in (0x03, 0x04, 0x08, 0x13, 0x20, 0x22)
    ]
    + [(0x2005, "Philips MR Imaging DD 001", low) for low in (0x0E, 0xB0, 0xB1)]
    + [(0x2005, "Philips MR Imaging DD 005", low) for low in (0x0F, 0x12, 0x13, 0x29)],
    "SIEMENS": [(0x29, "SIEMENS CSA HEADER", low) for low in (0x10, 0x20)]
    + [(0x19, "SIEMENS MR HEADER", low) for low in (0x0A, 0x0C, 0x0E, 0x18, 0x27, 0x28, 0x29)]
    + [(0x21, "SIEMENS MR SDS 01", low) for low in (0x09, 0x19, 0xFE)]
    + [(0x21, "SIEMENS MR SDI 02", low) for low in (0x04, 0x1C, 0x53, 0xFE)],
    "UIH": [(0x65, "Image Private Header", low) for low in (0x05, 0x09, 0x0D, 0x37, 0x50, 0x51)],
}


@pytest.mark.parametrize("maker", CREATORS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_odd_private_elements(maker: str, data: Any) -> None:
    dataset = epi(Phantom())[0]
    dataset.Manufacturer = maker
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    if data.draw(st.booleans()):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    if data.draw(st.booleans()):
        dataset.ImageOrientationPatient = ["0"] * 6
    for group, creator, low in CREATORS[maker]:
        vr = data.draw(st.sampled_from(["DS", "UN"]))
        value: Any = data.draw(ODD if vr == "DS" else st.binary(max_size=80))
        if vr == "DS":
            vr, value = "UN", value.encode()
        private(dataset, group, creator, low, vr, value + b"\0" * (len(value) % 2))
    assert header(dataset).sop_instance_uid


@settings(max_examples=60, deadline=None)
@given(comment=st.one_of(ODD, st.text(max_size=40), st.just("b=1(0,0,0)")))
def test_odd_image_comments(comment: str) -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "CANON_MEC"
    dataset.InPlanePhaseEncodingDirection = "COL"
    dataset.add_new(0x00204000, "UN", comment.encode()[:80].ljust(80))
    assert header(dataset).sop_instance_uid
