"""Presentation contexts: everything that can be stored is taken, the rest refused by its code."""

from __future__ import annotations

import pytest
from pynetdicom.presentation import PresentationContext

from node.dimse.scp.presentation_contexts import is_storage, negotiate

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
JPEG_LS, HTJ2K, VIDEO = (
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.102",
)
CT, ECHO = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"


def context(number: int, abstract: str, *syntaxes: str) -> PresentationContext:
    made = PresentationContext()
    made.context_id = number
    made.abstract_syntax = abstract
    made.transfer_syntax = list(syntaxes)
    return made


def supported() -> list[PresentationContext]:
    return [context(1, ECHO, IMPLICIT, EXPLICIT)]


@pytest.mark.parametrize(
    ("uid", "storage"),
    [
        (CT, True),
        ("1.2.840.10008.5.1.4.1.1.6", True),  # retired ultrasound
        ("1.2.840.10008.5.1.4.1.1.99999", True),  # newer than the dictionary
        ("1.3.12.2.1107.5.9.1", True),  # Siemens CSA Non-Image
        ("1.2.840.113619.4.27", True),  # GE
        ("1.2.840.10008.5.1.4.39.1", True),  # colour palette
        (ECHO, False),
        ("1.2.840.10008.5.1.4.1.2.2.1", False),
        ("1.2.840.10008.5.1.4.1.1.200.6", False),  # a GET below the storage root
        ("1.2.840.10008.1.20.1", False),
        ("1.2.826.0.1.3680043.8.498.1", False),
        ("2.25.329800735698586629295641978511506172918", True),
    ],
)
def test_what_can_be_stored(uid: str, storage: bool) -> None:
    assert is_storage(uid) is storage


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, JPEG_LS, HTJ2K, VIDEO])
def test_every_transfer_syntax_of_an_image_is_taken_as_it_is(syntax: str) -> None:
    (answer,), _ = negotiate([context(1, CT, syntax)], supported())
    assert (answer.result, list(answer.transfer_syntax)) == (0, [syntax])


def test_the_senders_first_choice_wins() -> None:
    (answer,), _ = negotiate([context(1, CT, "1.9.9", JPEG_LS, EXPLICIT)], supported())
    assert list(answer.transfer_syntax) == [JPEG_LS]


def test_refusals_have_their_codes_and_do_not_spoil_the_rest() -> None:
    answers, _ = negotiate(
        [
            context(1, "1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT),
            context(3, ECHO, JPEG_LS),
            context(5, CT, "1.9.9"),
            context(7, ECHO, IMPLICIT),
        ],
        supported(),
    )
    assert [(answer.context_id, answer.result) for answer in answers] == [
        (1, 3),
        (3, 4),
        (5, 4),
        (7, 0),
    ]


def test_roles_turn_only_where_they_were_proposed() -> None:
    (plain, turned), items = negotiate(
        [context(1, CT, IMPLICIT), context(3, "1.2.840.10008.5.1.4.1.1.4", IMPLICIT)],
        supported(),
        {"1.2.840.10008.5.1.4.1.1.4": (False, True)},
    )
    assert (plain.as_scp, plain.as_scu) == (True, False)
    assert (turned.as_scp, turned.as_scu) == (False, True)
    assert [(i.sop_class_uid, i.scu_role, i.scp_role) for i in items] == [
        ("1.2.840.10008.5.1.4.1.1.4", False, True)
    ]
