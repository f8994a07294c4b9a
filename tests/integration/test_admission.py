"""Who is refused an association, by real ones, and with which reason (PS3.8 9.3.4)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

from node.core.settings.model import Identity
from node.core.settings.passcodes import make_hash, matches
from node.core.supervision import HEARTBEATS
from node.dimse.upper_layer.access import admission, attempts, identification
from tests.integration.queryable import Queryable
from tests.running import eventually

LIMIT_EXCEEDED = (2, 3, 2)  # transient, presentation related, local limit exceeded
NO_REASON_GIVEN = (1, 1, 1)
CONGESTION = (2, 3, 1)  # transient, presentation related, temporary congestion
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


GUARDED = make_hash("secret")


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
    node.start(identity=Identity(users={"open": "", "guarded": GUARDED}))
    made = associate(ext_neg=[] if kind is None else [user(name, passcode, kind)])
    if is_known:
        assert made.is_established
    else:
        assert reason(made) == NO_REASON_GIVEN


def user(name: bytes, passcode: bytes, kind: int = 2) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = kind, name
    if kind == 2:
        item.secondary_field = passcode
    return item


def test_an_old_hash_is_as_good_until_it_is_replaced(node: Queryable, associate: Associate) -> None:
    old = hashlib.sha256(b"secret").hexdigest()
    node.start(identity=Identity(users={"mr": old.upper()}))
    assert associate(ext_neg=[user(b"mr", b"secret")]).is_established
    assert reason(associate(ext_neg=[user(b"mr", b"wrong")])) == NO_REASON_GIVEN


def test_who_guesses_has_to_wait_and_locks_nobody_out(
    node: Queryable,
    associate: Associate,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "_FREE", -6)  # the first wait is longer than the test
    node.start(identity=Identity(users={"mr": GUARDED}))
    assert associate(HERE, ext_neg=[user(b"mr", b"secret")]).is_established
    guess = [user(b"mr", b"wrong")]
    assert reason(associate(ELSEWHERE, ext_neg=guess)) == NO_REASON_GIVEN
    assert reason(associate(ELSEWHERE, ext_neg=[user(b"mr", b"secret")])) == CONGESTION
    assert "too many wrong passcodes" in caplog.text
    # The user is guessed at: from elsewhere there is one guess, and the next has to wait.
    assert reason(associate("127.0.0.3", ext_neg=guess)) == NO_REASON_GIVEN
    assert reason(associate("127.0.0.3", ext_neg=guess)) == CONGESTION
    # Who was never wrong gets in at once, whoever guesses.
    assert associate("127.0.0.4", ext_neg=[user(b"mr", b"secret")]).is_established
    # Who has shown the passcode before, from where it did, gets in all the same.
    assert associate(HERE, ext_neg=[user(b"mr", b"secret")]).is_established


def test_nobody_waits_for_a_passcode_to_be_compared(
    node: Queryable, associate: Associate, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(wanted: str, passcode: bytes) -> bool:
        began.set()
        return go_on.wait(20) and matches(wanted, passcode)

    monkeypatch.setattr(identification, "matches", slow)
    node.start(identity=Identity(required=False, users={"mr": GUARDED}))
    with ThreadPoolExecutor(1) as pool:
        compared = pool.submit(associate, ext_neg=[user(b"mr", b"secret")])
        assert began.wait(10)
        assert associate(ELSEWHERE).is_established
        assert not compared.done()
        go_on.set()
        assert compared.result(10).is_established


def test_a_node_that_stops_waits_for_no_passcode(node: Queryable, associate: Associate) -> None:
    node.start(identity=Identity(users={"mr": GUARDED}))
    assert associate(ext_neg=[user(b"mr", b"secret")]).is_established
    node.stop()
    assert "passcodes" not in {sign.name for sign in HEARTBEATS.all()}
