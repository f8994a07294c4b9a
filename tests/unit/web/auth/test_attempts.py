"""Who guesses passwords is slowed down, and others are not."""

from __future__ import annotations

from node.web.auth import attempts
from node.web.auth.attempts import OF_ADDRESS, OF_NAME, OF_PAIR, WINDOW_SECONDS, Attempts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_guessing_one_password_is_stopped_and_others_come_in() -> None:
    clock = Clock()
    tried = Attempts(clock)
    assert [tried.begin("rudi", "10.0.0.1") for _ in range(OF_PAIR)] == [0.0] * OF_PAIR
    assert tried.begin("rudi", "10.0.0.1") == WINDOW_SECONDS
    assert tried.begin("anna", "10.0.0.1") == 0.0
    assert tried.begin("rudi", "10.0.0.2") == 0.0
    clock.now += WINDOW_SECONDS
    assert tried.begin("rudi", "10.0.0.1") == 0.0


def test_trying_many_names_from_one_address_is_stopped() -> None:
    tried = Attempts(Clock())
    assert not any(tried.begin(f"name {n}", "10.0.0.1") for n in range(OF_ADDRESS))
    assert tried.begin("another", "10.0.0.1") > 0
    assert tried.begin("another", "10.0.0.2") == 0.0


def test_guessing_one_password_from_many_addresses_is_stopped() -> None:
    tried = Attempts(Clock())
    assert not any(tried.begin("rudi", f"10.0.0.{n}") for n in range(OF_NAME))
    assert tried.begin("rudi", "10.0.1.1") > 0
    assert tried.begin("anna", "10.0.1.1") == 0.0


def test_right_passwords_use_nothing_up() -> None:
    tried = Attempts(Clock())
    for _ in range(3 * OF_ADDRESS):
        assert tried.begin("vera", "10.0.0.1") == 0.0
        tried.succeeded("vera", "10.0.0.1")


def test_what_is_remembered_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(attempts, "_MOST", 100)
    tried = Attempts(Clock())
    for number in range(500):
        tried.begin(f"name {number}", f"address {number}")
    assert len(tried._counts) <= 100
