"""Who is refused an association, by real ones, and with which reason (PS3.8 9.3.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

from node.config import Identity
from node.dimse import admission
from tests.integration.queryable import Queryable
from tests.running import eventually

LIMIT_EXCEEDED = (2, 3, 2)  # transient, presentation related, local limit exceeded
NO_REASON_GIVEN = (1, 1, 1)
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"

Associate = Callable[..., Association]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Queryable]:
    made = Queryable(tmp_path)
    yield made
    made.close()


@pytest.fixture
def associate(node: Queryable) -> Iterator[Associate]:
    """Associations that are used at once, so that none has to give way to a newcomer."""
    opened: list[Association] = []

    def open_(address: str = HERE, *, used: bool = True, **options: Any) -> Association:
        ae = AE("TESTER")
        ae.add_requested_context(Verification)
        for _ in range(3):  # pynetdicom's client may miss an answer after which the peer hangs up
            made = ae.associate("127.0.0.1", node.port, bind_address=(address, 0), **options)
            opened.append(made)
            if made.is_established or made.is_rejected:
                break
        if made.is_established and used:
            assert made.send_c_echo().Status == 0
        return made

    yield open_
    for made in opened:
        if made.is_established:
            made.release()


def reason(made: Association) -> tuple[int, int, int]:
    assert made.is_rejected
    answer = made.acceptor.primitive
    return answer.result, answer.result_source, answer.diagnostic


def test_no_more_than_max_associations_are_open(node: Queryable, associate: Associate) -> None:
    node.start(max_associations=2)
    first, second = associate(HERE), associate(ELSEWHERE)
    assert reason(associate("127.0.0.3")) == LIMIT_EXCEEDED
    assert first.is_established
    assert second.is_established
    second.release()
    eventually(lambda: associate("127.0.0.3").is_established, 10, "its place is free")


def test_one_address_does_not_take_all_places(node: Queryable, associate: Associate) -> None:
    node.start(max_associations=4)
    for _ in range(3):
        assert associate(HERE).is_established
    assert reason(associate(HERE)) == LIMIT_EXCEEDED
    assert associate(ELSEWHERE).is_established


def test_only_an_association_that_asks_for_nothing_gives_way(
    node: Queryable, associate: Associate, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.start(max_associations=2)
    used, unused = associate(HERE), associate(ELSEWHERE, used=False)
    assert reason(associate("127.0.0.3")) == LIMIT_EXCEEDED  # it may still be about to ask
    monkeypatch.setattr(admission, "EVICT_SECONDS", 0.0)
    eventually(lambda: associate("127.0.0.3").is_established, 10, "it has the other's place")
    assert used.send_c_echo().Status == 0
    unused.join(10)
    assert not unused.is_established


@pytest.mark.parametrize(
    ("kind", "name", "passcode", "is_known"),
    [
        (1, b"open", b"", True),
        (2, b"open", b"whatever", True),
        (2, b"guarded", b"secret", True),
        (2, b"guarded", b"wrong", False),
        (1, b"guarded", b"", False),
        (1, b"nobody", b"", False),
        (3, b"open", b"", False),  # Kerberos
        (4, b"open", b"", False),  # SAML
        (5, b"open", b"", False),  # JSON web token
        (None, b"", b"", False),
    ],
)
def test_users_are_known_by_name_and_passcode_and_in_no_other_way(
    node: Queryable,
    associate: Associate,
    kind: int | None,
    name: bytes,
    passcode: bytes,
    is_known: bool,
) -> None:
    secret = hashlib.sha256(b"secret").hexdigest()
    node.start(identity=Identity(users={"open": "", "guarded": secret}))
    items = []
    if kind is not None:
        item = UserIdentityNegotiation()
        item.user_identity_type, item.primary_field = kind, name
        if kind == 2:
            item.secondary_field = passcode
        items.append(item)
    made = associate(ext_neg=items)
    if is_known:
        assert made.is_established
    else:
        assert reason(made) == NO_REASON_GIVEN
