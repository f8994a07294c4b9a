"""Identifiers of responses: pydicom reads them, in every character set."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode

from node.dimse.scp.query.character_sets import charset, choose
from node.dimse.scp.query.response_identifiers import Responses, failed_instances
from tests.unit.dicom.matching.identifiers import EXPLICIT, IMPLICIT, query

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def back(record: dict, syntax: str = IMPLICIT, requested=None, **keys) -> Dataset:
    asked = query("STUDY", charset=requested, **keys)
    encoded = Responses(asked, syntax, "RASNODE").encode(record)
    return decode(BytesIO(encoded), syntax == IMPLICIT, True)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_what_was_asked_for_and_nothing_more(syntax: str) -> None:
    record = {"PatientID": "A", "StudyDate": "20200101", "StudyID": "unasked"}
    found = back(record, syntax, PatientID="", StudyDate="", AccessionNumber="")
    assert found.PatientID == "A"
    assert found.StudyDate == "20200101"
    assert found["AccessionNumber"].is_empty
    assert found.QueryRetrieveLevel == "STUDY"
    assert found.RetrieveAETitle == "RASNODE"
    assert [element.tag for element in found] == sorted(element.tag for element in found)
    assert len(found) == 5


def test_availability_only_if_asked_for() -> None:
    assert "InstanceAvailability" not in back({}, StudyID="")
    assert back({}, InstanceAvailability="").InstanceAvailability == "ONLINE"


@pytest.mark.parametrize(
    ("requested", "name", "used"),
    [
        (None, "Doe^John", None),
        ("ISO_IR 100", "Doe^John", None),
        ("ISO_IR 100", "Müller^Jürgen", "ISO_IR 100"),
        (None, "Müller^Jürgen", "ISO_IR 100"),
        ("ISO_IR 100", "Żółć^Łukasz", "ISO_IR 192"),
        ("ISO_IR 101", "Żółć^Łukasz", "ISO_IR 101"),
        ("ISO_IR 192", "Żółć^Łukasz", "ISO_IR 192"),
        ("ISO_IR 144", "Люксембург", "ISO_IR 144"),
        ("ISO_IR 126", "Διονυσιος", "ISO_IR 126"),
        ("ISO_IR 127", "قباني^لنزار", "ISO_IR 127"),
        ("ISO_IR 138", "שרון^דבורה", "ISO_IR 138"),
        ("ISO_IR 166", "นามสกุล", "ISO_IR 166"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ISO_IR 13"),
        (["", "ISO 2022 IR 87"], JAPANESE, ["", "ISO 2022 IR 87"]),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], JAPANESE, ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
        ("GB18030", "Wang^XiaoDong=王^小东", "GB18030"),
        ("GBK", "Wang^XiaoDong=王^小东", "GBK"),
        (["", "ISO 2022 IR 149"], JAPANESE, "ISO_IR 192"),
        (None, JAPANESE, "ISO_IR 192"),
    ],
)
def test_character_sets(requested, name: str, used) -> None:
    found = back({"PatientName": name}, requested=requested, PatientName="")
    assert str(found.PatientName) == name
    assert found.get("SpecificCharacterSet") == used


def test_simplified_chinese_is_written_as_the_standard_shows_it() -> None:
    """PS3.5 K.3; pydicom itself reads back the escape sequences as text."""
    written = charset("\\ISO 2022 IR 58").encode("Zhang^XiaoDong=张^小东")
    assert written == b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"


def test_an_unknown_character_set_is_answered_in_utf_8() -> None:
    asked = replace(query("STUDY", PatientName=""), charset="NO SUCH SET")
    encoded = Responses(asked, IMPLICIT, "A").encode({"PatientName": "Müller"})
    found = decode(BytesIO(encoded), True, True)
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert str(found.PatientName) == "Müller"


@given(st.text(st.characters(codec="iso8859-2", exclude_characters="\x1b"), max_size=20))
def test_a_set_carries_what_it_has(text: str) -> None:
    encoded = charset("ISO_IR 101").encode(text)
    assert encoded is None or encoded.decode("iso8859-2") == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_no_text_is_lost(text: str) -> None:
    for requested in ("", "ISO_IR 13", "\\ISO 2022 IR 87", "\\ISO 2022 IR 58", "GB18030"):
        chosen = choose([text], requested)
        if chosen is None:
            assert text.isascii()
        else:
            assert chosen.encode(text) is not None


def test_numbers_are_binary_where_the_standard_says_so() -> None:
    asked = query(
        "IMAGE", StudyInstanceUID="1", SeriesInstanceUID="2", SOPInstanceUID="", Rows=None
    )
    encoded = Responses(asked, IMPLICIT, "A").encode({"Rows": "512"})
    assert decode(BytesIO(encoded), True, True).Rows == 512
    odd = Responses(asked, IMPLICIT, "A").encode({"Rows": "many"})
    assert decode(BytesIO(odd), True, True)["Rows"].is_empty


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_sequences_come_back_as_asked(syntax: str) -> None:
    item = Dataset()
    item.ScheduledProcedureStepID = "S2"
    item.ScheduledProcedureStepDescription = ""
    asked = query(
        "SERIES",
        StudyInstanceUID="1",
        SeriesInstanceUID="",
        RequestAttributesSequence=item,
    )
    record = {
        "RequestAttributesSequence": [
            {"ScheduledProcedureStepID": "S1"},
            {
                "ScheduledProcedureStepID": "S2",
                "ScheduledProcedureStepDescription": "Schädel",
                "RequestedProcedureID": "unasked",
            },
        ]
    }
    encoded = Responses(asked, syntax, "A").encode(record)
    found = decode(BytesIO(encoded), syntax == IMPLICIT, True)
    (one,) = found.RequestAttributesSequence
    assert one.ScheduledProcedureStepDescription == "Schädel"
    assert len(one) == 2


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_failed_lists(syntax: str) -> None:
    uids = [f"1.2.{number}" for number in range(20000)]
    found = decode(BytesIO(failed_instances(uids, syntax)), syntax == IMPLICIT, True)
    listed = list(found.FailedSOPInstanceUIDList)
    assert listed == uids[: len(listed)]
    assert len(listed) == len(uids) if syntax == IMPLICIT else len(listed) > 5000


def test_every_element_has_an_even_length() -> None:
    asked = query("STUDY", PatientID="", StudyInstanceUID="", PatientName="")
    record = {"PatientID": "odd", "StudyInstanceUID": "1.2.3", "PatientName": "Ä^B"}
    encoded = Responses(asked, IMPLICIT, "ODD").encode(record)
    offset = 0
    while offset < len(encoded):
        length = struct.unpack_from("<L", encoded, offset + 4)[0]
        assert length % 2 == 0
        offset += 8 + length
    assert offset == len(encoded)
