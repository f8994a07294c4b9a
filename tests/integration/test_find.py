"""C-FIND over the wire: streaming, cancelling, negotiation, permissions, hostile identifiers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE

from node.core.settings.model import PeerSettings
from node.dimse.upper_layer.pdus import Proposal
from tests.integration.queryable import (  # noqa: F401
    EXPLICIT,
    FIND,
    IMPLICIT,
    Queryable,
    ask,
    careless_peers,
    collected,
    instance,
)
from tests.unit.dicom.matching.identifiers import encoded, identifier

pytestmark = careless_peers

IN_FIND = Proposal(FIND, (IMPLICIT,))
MANY = 400
SERIES = {"StudyInstanceUID": "1.9", "SeriesInstanceUID": "1.8.1"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queryable]:
    made = Queryable(tmp_path_factory.mktemp("node"))
    for number in range(MANY):
        made.store(instance(1, number))
    yield made.start()
    made.close()


def test_every_match_once_and_a_final_without_identifier(node: Queryable) -> None:
    with node.connect(IN_FIND) as peer:
        asked = ask(peer, "IMAGE", **SERIES, SOPInstanceUID="", InstanceNumber="")
    assert asked.statuses == [0xFF00] * MANY + [0x0000]
    assert {found.SOPInstanceUID for found in asked.identifiers} == {
        f"1.7.1.{number}" for number in range(MANY)
    }
    assert asked.responses[-1].data is None


def test_cancelled_within_one_response(node: Queryable) -> None:
    with node.connect(IN_FIND) as peer:
        asked = ask(peer, "IMAGE", cancel_after=1, **SERIES, SOPInstanceUID="")
        assert asked.statuses[-1] == 0xFE00
        assert len(asked.statuses) < MANY
        again = ask(peer, "STUDY", StudyInstanceUID="1.9")
    assert again.statuses == [0xFF00, 0x0000]


def test_unsupported_keys_are_left_out_and_said(node: Queryable) -> None:
    with node.connect(IN_FIND) as peer:
        asked = ask(peer, "STUDY", StudyInstanceUID="1.9", PatientMotherBirthName="")
    assert asked.statuses == [0xFF01, 0x0000]
    assert "PatientMotherBirthName" not in asked.identifiers[0]


def test_relational_queries_by_negotiation_only(node: Queryable) -> None:
    keys = {"SOPInstanceUID": "1.7.1.7", "StudyInstanceUID": ""}
    with node.connect(IN_FIND) as peer:
        refused = ask(peer, "IMAGE", **keys)
    with node.connect(IN_FIND, extended=[(FIND, b"\x01\x00\x01\x01\x01")]) as peer:
        assert peer.accepted.extended == {FIND: b"\x01\x00\x00\x00\x00"}
        answered = ask(peer, "IMAGE", **keys)
    assert refused.statuses == [0xA900]
    assert refused.final["OffendingElement"] == (0x0020000D,)
    assert "StudyInstanceUID" in refused.final["ErrorComment"]
    assert [found.StudyInstanceUID for found in answered.identifiers] == ["1.9"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 0xA900),
        (struct.pack("<HHL", 8, 0x52, 6) + b"STUDYX", 0xA900),
        (struct.pack("<HHL", 8, 0x52, 600) + b"STUDY ", 0xC000),
        (bytes(range(1, 200)), 0xC000),
        (
            struct.pack("<HHL", 8, 0x50, 1 << 20)
            + b"x" * (1 << 20)
            + struct.pack("<HHL", 8, 0x52, 6)
            + b"STUDY ",
            0xA900,
        ),
        (struct.pack("<HHL", 8, 0x52, 6) + b"\x00\xff\x1b$)C", 0xA900),
    ],
)
def test_malformed_identifiers_get_their_status_and_the_association_stays(
    node: Queryable, data: bytes, status: int
) -> None:
    with node.connect(IN_FIND) as peer:
        refused = ask(peer, None, data=data)
        asked = ask(peer, "STUDY", StudyInstanceUID="1.9")
    assert refused.statuses == [status]
    assert refused.final.get("ErrorComment")
    assert asked.statuses == [0xFF00, 0x0000]


def test_who_may_not_find_is_told_so(node: Queryable) -> None:
    node.know(
        PeerSettings(name="s", ae_title="SENDER", host="127.0.0.1", port=1, may=("store",)),
    )
    try:
        with node.connect(IN_FIND, calling="SENDER") as peer:
            refused = ask(peer, "STUDY", StudyInstanceUID="1.9")
        with node.connect(IN_FIND, calling="STRANGER") as peer:
            answered = ask(peer, "STUDY", StudyInstanceUID="1.9")
    finally:
        node.know()
    assert refused.statuses == [0x0124]
    assert answered.statuses == [0xFF00, 0x0000]


def test_found_as_soon_as_it_is_stored(node: Queryable) -> None:
    with node.connect(IN_FIND) as peer:
        before = ask(peer, "SERIES", StudyInstanceUID="1.9", SeriesInstanceUID="1.8.2")
        node.store(instance(2, 1))
        after = ask(peer, "SERIES", StudyInstanceUID="1.9", SeriesInstanceUID="1.8.2")
    assert before.statuses == [0x0000]
    assert after.statuses == [0xFF00, 0x0000]


def test_a_client_that_hangs_up_in_the_middle_harms_nobody(node: Queryable) -> None:
    for _ in range(3):
        peer = node.connect(IN_FIND)
        context = peer.contexts(FIND)[IMPLICIT]
        request = {"AffectedSOPClassUID": FIND, "CommandField": 0x20, "Priority": 0}
        peer.request(context, request, encoded(identifier("IMAGE", **SERIES)))
        peer.abort()
    with node.connect(IN_FIND) as peer:
        assert ask(peer, "STUDY", StudyInstanceUID="1.9").statuses == [0xFF00, 0x0000]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_pynetdicom_as_the_client(node: Queryable, syntax: str) -> None:
    ae = AE("TESTER")
    ae.add_requested_context(FIND, syntax)
    association = ae.associate("127.0.0.1", node.port, ae_title="RASNODE")
    assert association.is_established
    keys = identifier("STUDY", StudyInstanceUID="", PatientName="doe*", ModalitiesInStudy="")
    answers = list(association.send_c_find(keys, FIND))
    association.release()
    assert [status.Status for status, _ in answers] == [0xFF00, 0x0000]
    found = answers[0][1]
    assert found is not None
    assert str(found.PatientName) == "Doe^John"
    assert found.ModalitiesInStudy == "CT"
    assert found.RetrieveAETitle == "RASNODE"


def test_nothing_of_the_patient_is_logged(node: Queryable, caplog) -> None:
    caplog.set_level("DEBUG", logger="node")
    with node.connect(IN_FIND) as peer:
        ask(peer, "STUDY", PatientName="Doe^J*", PatientID="P1", PatientBirthDate="19700101")
        ask(peer, "STUDY", PatientID="P1", StudyDate="tomorrow")
    assert "C-FIND" in caplog.text
    for secret in ("Doe", "P1", "1970", "tomorrow"):
        assert secret not in caplog.text


def test_whether_a_study_without_a_patient_id_matches_every_one_can_be_chosen(
    tmp_path: Path,
) -> None:
    node = Queryable(tmp_path)
    node.store(instance(1, 1, PatientID="", StudyInstanceUID="1.9.1", SeriesInstanceUID="1.8.9.1"))
    node.store(instance(2, 1, PatientID="P1", StudyInstanceUID="1.9.2"))
    try:
        node.start()
        for chosen, expected in ((True, {"1.9.1", "1.9.2"}), (False, {"1.9.2"})):
            node.dicom = node.dicom.model_copy(update={"empty_matches": chosen})
            with node.connect(IN_FIND) as peer:
                asked = ask(peer, "STUDY", PatientID="P1", StudyInstanceUID="")
                other = ask(peer, "STUDY", PatientID="", StudyInstanceUID="")
            assert {found.StudyInstanceUID for found in asked.identifiers} == expected
            assert {found.StudyInstanceUID for found in other.identifiers} == {"1.9.1", "1.9.2"}
    finally:
        node.close()
