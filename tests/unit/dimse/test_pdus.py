"""Association PDUs: pynetdicom reads what we ask, and we read what it answers."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_RQ

from node.dimse.upper_layer.pdus import (
    MalformedPDU,
    Proposal,
    associate_ac,
    associate_rq,
    rejection,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


def test_pynetdicom_reads_our_request() -> None:
    raw = associate_rq(
        "RASNODE",
        "PACS",
        [Proposal(CT, SYNTAXES), Proposal("1.2.3", SYNTAXES[:1], scp=True)],
        max_pdu=4096,
        implementation_class_uid="2.25.1",
        implementation_version_name="RASNODE",
        extended=[(CT, b"\x01\x01")],
    )
    read = A_ASSOCIATE_RQ()
    read.decode(raw)
    asked = read.to_primitive()
    assert (asked.calling_ae_title, asked.called_ae_title) == ("RASNODE", "PACS")
    contexts = asked.presentation_context_definition_list
    assert [(c.context_id, c.abstract_syntax) for c in contexts] == [(1, CT), (3, "1.2.3")]
    assert tuple(map(str, contexts[0].transfer_syntax)) == SYNTAXES
    assert asked.maximum_length_received == 4096
    roles = [i for i in asked.user_information if hasattr(i, "scp_role")]
    assert [(r.sop_class_uid, r.scu_role, r.scp_role) for r in roles] == [("1.2.3", False, True)]
    extended = [i for i in asked.user_information if hasattr(i, "app_info")] or [
        i for i in asked.user_information if hasattr(i, "service_class_application_information")
    ]
    assert len(extended) == 1


def test_titles_are_cut_to_sixteen_characters() -> None:
    raw = associate_rq(
        "A" * 20,
        "B",
        [],
        max_pdu=0,
        implementation_class_uid="1",
        implementation_version_name="x",
    )
    assert raw[10:26] == b"B".ljust(16)
    assert raw[26:42] == b"A" * 16


@given(st.binary(max_size=300))
def test_noise_is_refused_by_name(noise: bytes) -> None:
    with suppress(MalformedPDU):
        associate_ac(noise)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\0\1\1\7", "called AE title not recognized (permanent)"),
        (b"\0\2\3\2", "local limit exceeded (for the moment)"),
        (b"\0\1\1\x63", "source 1, reason 99 (permanent)"),
        (b"", "source 0, reason 0 (for the moment)"),
    ],
)
def test_rejections_in_words(body: bytes, words: str) -> None:
    assert rejection(body) == words
