"""Odd A-ASSOCIATE-RQ PDUs, put into the form that pynetdicom reads."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_RQ

from node.dimse.upper_layer.associate_request import read_associate
from node.dimse.upper_layer.pdus import MalformedPDU, Proposal, associate_rq
from node.dimse.upper_layer.request_repair import NO_TITLE, repaired, unacceptable

VERIFICATION = "1.2.840.10008.1.1"


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


USUAL = (item(0x51, struct.pack(">L", 16384)), item(0x52, b"1.2.3"))


def request(
    *user: bytes,
    version: int = 1,
    calling: bytes = b"SENDER",
    application: bytes = b"1.2.840.10008.3.1.1.1",
    others: bytes = b"",
) -> bytes:
    context = item(
        0x20, b"\1\0\0\0" + item(0x30, VERIFICATION.encode()) + item(0x40, b"1.2.840.10008.1.2")
    )
    head = struct.pack(">HH", version, 0) + b"RASNODE".ljust(16) + calling.ljust(16) + bytes(32)
    body = head + item(0x10, application) + context + others
    body += item(0x50, b"".join(user or USUAL))
    return struct.pack(">BxL", 1, len(body)) + body


def read(raw: bytes):
    found = A_ASSOCIATE_RQ()
    found.decode(raw)
    return found.to_primitive()


def test_an_ordinary_request_stays_as_it_is() -> None:
    assert repaired(request()) == request()
    ours = associate_rq(
        "A",
        "B",
        [Proposal(VERIFICATION, ("1.2.840.10008.1.2",), scp=True)],
        max_pdu=0,
        implementation_class_uid="1.2",
        implementation_version_name="X",
        extended=[(VERIFICATION, b"\1")],
    )
    assert repaired(ours) == ours


def test_what_came_after_it_is_kept() -> None:
    assert repaired(request() + b"more") == request() + b"more"


@pytest.mark.parametrize(
    "odd",
    [
        request(*USUAL, item(0x5F, b"what is this"), item(0x7E, b"")),
        request(others=item(0x99, b"what is this")),
        request(item(0x52, b"1.2.3")),
        request(version=3),
        request(calling=b" " * 16),
    ],
)
def test_odd_requests_can_be_read(odd: bytes) -> None:
    assert unacceptable(odd) is None
    asked = read(repaired(odd))
    assert asked.maximum_length_received == 16384
    assert asked.calling_ae_title in {"SENDER", NO_TITLE}
    assert len(asked.presentation_context_definition_list) == 1


@pytest.mark.parametrize(
    ("odd", "answer"),
    [
        (request(version=2), (1, 2, 2)),
        (request(application=b"1.2.3"), (1, 1, 2)),
    ],
)
def test_what_nobody_could_serve(odd: bytes, answer: tuple[int, int, int]) -> None:
    rejection = unacceptable(odd)
    assert rejection is not None
    assert (rejection.result, rejection.source, rejection.reason) == answer


@given(st.binary(max_size=200))
def test_noise_in_the_items_does_no_harm(noise: bytes) -> None:
    odd = request(noise)
    with suppress(MalformedPDU):
        read_associate(odd[6:])  # only what it accepts is repaired
        assert len(repaired(odd)) >= 74
        unacceptable(odd)
