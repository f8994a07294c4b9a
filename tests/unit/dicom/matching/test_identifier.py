"""Identifiers: what they ask for, and those that cannot be answered."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.core.errors import NodeError
from node.core.query_keys import Level
from node.dicom.matching import IdentifierError, Model, Negotiated, read_find, read_retrieve
from node.dicom.matching.conditions import Every, Items, Number, OneOf, Universal
from tests.unit.dicom.matching.identifiers import EXPLICIT, IMPLICIT, encoded, identifier, query

PATIENT, STUDY = Model.PATIENT, Model.STUDY


def condition(found, keyword: str):
    return next(key.condition for key in found.keys if key.attribute.keyword == keyword)


@pytest.mark.parametrize(
    ("model", "level", "keys", "offending"),
    [
        (PATIENT, "STUDY", {"StudyDate": "20200101"}, 0x00100020),
        (PATIENT, "SERIES", {"PatientID": "A"}, 0x0020000D),
        (PATIENT, "IMAGE", {"PatientID": "A", "StudyInstanceUID": "1.2"}, 0x0020000E),
        (STUDY, "SERIES", {"PatientID": "A"}, 0x0020000D),
        (STUDY, "SERIES", {"StudyInstanceUID": ""}, 0x0020000D),
        (STUDY, "SERIES", {"StudyInstanceUID": ["1.2", "1.3"]}, 0x0020000D),
        (PATIENT, "STUDY", {"PatientID": "A*"}, 0x00100020),
        (STUDY, "PATIENT", {"PatientID": "A"}, 0x00080052),
        (STUDY, None, {}, 0x00080052),
        (STUDY, "", {}, 0x00080052),
        (STUDY, "FRAMES", {}, 0x00080052),
        (STUDY, "study", {}, 0x00080052),
        (STUDY, "STUDY", {"StudyDate": "yesterday"}, 0x00080020),
        (STUDY, "STUDY", {"StudyDescription": "x" * 1_000_000}, 0x00081030),
        (STUDY, "STUDY", {"StudyID": [f"S{number}*" for number in range(65)]}, 0x00200010),
    ],
)
def test_what_does_not_match_the_sop_class(model, level, keys, offending) -> None:
    with pytest.raises(IdentifierError) as caught:
        read_find(encoded(identifier(level, **keys)), IMPLICIT, model)
    assert caught.value.status == 0xA900
    assert caught.value.offending == offending


def test_no_identifier_at_all() -> None:
    with pytest.raises(IdentifierError):
        read_find(b"", IMPLICIT, STUDY)


def test_what_is_cut_off_cannot_be_processed() -> None:
    cut = struct.pack("<HHL", 8, 0x52, 6) + b"STUDY " + struct.pack("<HHL", 0x20, 0xD, 600) + b"1.2"
    with pytest.raises(IdentifierError) as caught:
        read_find(cut, IMPLICIT, STUDY)
    assert caught.value.status == 0xC000


def test_endless_identifiers_are_not_read() -> None:
    with pytest.raises(IdentifierError):
        read_find(bytes(5 << 20), IMPLICIT, STUDY)


@given(st.binary(max_size=200), st.sampled_from([IMPLICIT, EXPLICIT]))
@example(encoded(identifier("STUDY", StudyInstanceUID="1.2"))[:-1], IMPLICIT)
def test_noise_is_refused_by_name(noise: bytes, syntax: str) -> None:
    for read in (read_find, read_retrieve):
        with suppress(NodeError):
            read(noise, syntax, STUDY)


def test_relational_queries_need_no_unique_keys_above() -> None:
    found = query("IMAGE", negotiated=Negotiated(relational=True), SOPInstanceUID="1.2.3")
    assert found.level is Level.IMAGE


@pytest.mark.parametrize("value", ["", "*"])
def test_universal(value: str) -> None:
    assert condition(query("STUDY", AccessionNumber=value), "AccessionNumber") == Universal()


def test_a_list_of_uids_keeps_each_once_and_without_padding() -> None:
    raw = b"1.2\\1.3 \\1.2\0"
    data = struct.pack("<HHL", 8, 0x52, 6) + b"STUDY "
    data += struct.pack("<HHL", 0x20, 0xD, len(raw)) + raw
    found = read_find(data, IMPLICIT, STUDY)
    assert condition(found, "StudyInstanceUID") == OneOf(("1.2", "1.3"))


def test_number_strings_are_numbers() -> None:
    found = query("SERIES", StudyInstanceUID="1.2", SeriesNumber="007")
    assert condition(found, "SeriesNumber") == Number((7.0,))


def test_what_the_index_does_not_keep_is_named() -> None:
    found = query("STUDY", StudyInstanceUID="", SOPInstanceUID="1.2", PatientMotherBirthName="")
    assert found.unsupported == (0x00080018, 0x00101060)


def test_group_lengths_private_and_command_elements_are_harmless() -> None:
    data = struct.pack("<HHLL", 8, 0, 4, 14) + struct.pack("<HHL", 8, 0x52, 6) + b"STUDY "
    data += struct.pack("<HHL", 9, 0x10, 4) + b"ACME" + struct.pack("<HHL", 9, 0x1001, 0)
    found = read_find(data, IMPLICIT, STUDY)
    assert found.keys == ()
    assert found.unsupported == (0x00090010, 0x00091001)


def test_required_keys_depend_on_the_model() -> None:
    in_study = {key.attribute.keyword: key.required for key in query("STUDY", PatientID="A").keys}
    in_patient = query("PATIENT", PATIENT, PatientID="A", PatientName="B")
    assert in_study == {"PatientID": True}
    assert [key.required for key in in_patient.keys] == [True, False]


def test_keys_in_a_sequence() -> None:
    item = Dataset()
    item.ScheduledProcedureStepID = "S"
    found = condition(
        query("SERIES", StudyInstanceUID="1.2", RequestAttributesSequence=item),
        "RequestAttributesSequence",
    )
    assert isinstance(found, Items)
    assert found.selective
    assert [key.attribute.keyword for key in found.keys] == ["ScheduledProcedureStepID"]


def test_two_items_in_a_sequence_key_are_refused() -> None:
    made = identifier("SERIES", StudyInstanceUID="1.2")
    made.RequestAttributesSequence = [Dataset(), Dataset()]
    with pytest.raises(IdentifierError):
        read_find(encoded(made), IMPLICIT, STUDY)


def test_several_values_are_one_condition_each_once_negotiated() -> None:
    agreed = Negotiated(multiple_values=True)
    found = query("STUDY", negotiated=agreed, ModalitiesInStudy=["CT", "PT"])
    assert isinstance(condition(found, "ModalitiesInStudy"), Every)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_character_sets_and_encodings_do_not_matter(syntax: str, charset: str) -> None:
    made = identifier("STUDY", charset, PatientName="Müller*")
    found = read_find(encoded(made, syntax), syntax, STUDY)
    plain = query("STUDY", charset="ISO_IR 192", PatientName="müller*")
    assert found.keys == plain.keys
    assert found.charset == charset


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        ("STUDY", {"StudyInstanceUID": ""}),
        ("STUDY", {"PatientID": "A"}),
        ("SERIES", {"SeriesInstanceUID": "1.2"}),
        ("STUDY", {"StudyInstanceUID": "*"}),
        (
            "IMAGE",
            {"StudyInstanceUID": "1", "SeriesInstanceUID": ["1", "2"], "SOPInstanceUID": "1"},
        ),
    ],
)
def test_retrievals_that_do_not_say_what(level: str, keys) -> None:
    with pytest.raises(IdentifierError) as caught:
        read_retrieve(encoded(identifier(level, **keys)), IMPLICIT, STUDY)
    assert caught.value.status == 0xA900


def test_a_retrieval_is_its_unique_keys() -> None:
    made = identifier("SERIES", StudyInstanceUID="1", SeriesInstanceUID=["2", "3"], Modality="CT")
    found = read_retrieve(encoded(made), IMPLICIT, STUDY)
    assert found.level is Level.SERIES
    assert found.uids == ((Level.STUDY, ("1",)), (Level.SERIES, ("2", "3")))


def test_relational_retrieval_by_the_level_alone() -> None:
    made = identifier("IMAGE", SOPInstanceUID="3")
    found = read_retrieve(encoded(made), IMPLICIT, STUDY, relational=True)
    assert found.uids == ((Level.IMAGE, ("3",)),)
