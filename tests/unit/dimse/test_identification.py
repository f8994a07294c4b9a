"""Guesses count for the address, whichever user is guessed at."""

from __future__ import annotations

import hashlib

from node.core.settings.model import Identity
from node.dimse.upper_layer.access.identification import Identification
from node.dimse.upper_layer.associate_request import Rejection, UserIdentity

NAMES = [f"user {number}" for number in range(40)]
KNOWN = Identity(users=dict.fromkeys(NAMES, hashlib.sha256(b"secret").hexdigest()))
WRONG, WAIT = (1, 1, 1), (2, 3, 1)


def asks(users: Identification, name: str, passcode: bytes, address: str) -> tuple[int, ...]:
    """The rejection; empty: it may come in."""
    decided: list[Rejection | None] = []
    users.check(KNOWN, UserIdentity(2, name, passcode), address, decided.append)
    (answer,) = decided
    return () if answer is None else (answer.result, answer.source, answer.reason)


def test_one_address_guesses_at_many_users_no_more_often_than_at_one() -> None:
    now = [0.0]
    users = Identification(lambda work: work(), lambda: now[0])
    answers = [asks(users, name, b"guess", "10.0.0.9") for name in NAMES]
    assert answers == [WRONG] * 10 + [WAIT] * 30
    assert asks(users, "user 39", b"secret", "10.0.0.9") == WAIT
    assert asks(users, "user 39", b"secret", "10.0.0.1") == ()
    now[0] += 2.0
    assert asks(users, "user 39", b"secret", "10.0.0.9") == ()
    # With the right one all is forgotten.
    assert [asks(users, name, b"guess", "10.0.0.9") for name in NAMES[10:20]] == [WRONG] * 10


def test_many_addresses_guess_at_one_user_once_each() -> None:
    users = Identification(lambda work: work(), lambda: 0.0)
    for number in range(10):
        assert asks(users, "user 1", b"guess", f"10.0.1.{number}") == WRONG
    assert asks(users, "user 1", b"guess", "10.0.1.3") == WAIT
    assert asks(users, "user 2", b"guess", "10.0.1.3") == WRONG
    assert asks(users, "user 1", b"guess", "10.0.1.77") == WRONG
    assert asks(users, "user 1", b"guess", "10.0.1.77") == WAIT
    assert asks(users, "user 1", b"secret", "10.0.0.1") == ()


def test_who_was_right_before_does_not_wait_for_a_neighbour_who_guesses() -> None:
    users = Identification(lambda work: work(), lambda: 0.0)
    assert asks(users, "user 1", b"secret", "10.0.0.1") == ()
    for _ in range(12):
        asks(users, "user 1", b"guess", "10.0.0.1")
    assert asks(users, "user 1", b"guess", "10.0.0.1") == WAIT
    assert asks(users, "user 1", b"secret", "10.0.0.1") == ()


def test_a_new_passcode_is_asked_for_where_the_old_one_was_known() -> None:
    users = Identification(lambda work: work())
    assert asks(users, "user 1", b"secret", "10.0.0.9") == ()
    changed = Identity(users={"user 1": hashlib.sha256(b"new").hexdigest()})
    decided: list[Rejection | None] = []
    users.check(changed, UserIdentity(2, "user 1", b"secret"), "10.0.0.9", decided.append)
    assert decided[0] is not None
