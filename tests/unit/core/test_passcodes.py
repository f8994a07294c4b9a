"""Hashes of passcodes, and how often they may be tried."""

from __future__ import annotations

import hashlib

import pytest

from node.core.errors import ConfigError
from node.core.sender_addresses import neighbourhood
from node.core.settings.passcodes import (
    NOBODY,
    check_hash,
    is_outdated,
    is_slow,
    make_hash,
    matches,
)
from node.dimse.upper_layer.access.attempts import Attempts
from tests.commands import rasnode

OLD = hashlib.sha256("geheim ü".encode()).hexdigest()


def test_a_hash_is_of_one_passcode_and_has_a_salt() -> None:
    made = make_hash("geheim ü")
    assert made != make_hash("geheim ü")
    for wanted in (made, OLD, OLD.upper()):
        assert check_hash(wanted) == wanted
        assert matches(wanted, "geheim ü".encode())
        assert not matches(wanted, b"geheim")
    assert not matches(check_hash(NOBODY), b"")
    assert [is_outdated(each) for each in (made, OLD, "")] == [False, True, False]
    assert [is_slow(each) for each in (made, OLD, "")] == [True, False, False]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("geheim", "rasnode passcode"),
        ("$argon2i$v=19$m=65536,t=3,p=4" + NOBODY[29:], "rasnode passcode"),
        ("$2b$12$abcdefghijklmnopqrstuv", "rasnode passcode"),
        (NOBODY.replace("65536", "4194304"), "memory or time"),
        (NOBODY.replace("t=3", "t=1000"), "memory or time"),
        (NOBODY.replace("p=4", "p=1000"), "memory or time"),
    ],
)
def test_a_hash_that_nobody_should_compare_with_is_refused(wanted: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_hash(wanted)


def test_the_wait_grows_with_each_wrong_passcode_and_ends() -> None:
    now = [1000.0]
    attempts = Attempts(lambda: now[0])
    waits = []
    for _ in range(30):
        attempts.failed("a")
        waits.append(attempts.wait("a"))
    assert waits[:13] == [0.0] * 9 + [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == 300.0
    assert attempts.wait("b") == 0.0
    now[0] += 299.0
    assert attempts.wait("a") == 1.0
    now[0] += 2.0
    assert attempts.wait("a") == 0.0
    attempts.failed("a")
    assert attempts.wait("a") == 300.0
    now[0] += 4000.0
    attempts.failed("a")
    assert attempts.wait("a") == 0.0
    attempts.succeeded("a")
    assert attempts.wait("a") == 0.0


def test_the_table_of_wrong_passcodes_has_a_bound() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(10_000):
        attempts.failed(str(number))
    assert len(attempts._failures) == 4096


def test_addresses_that_one_machine_can_choose_from_are_one() -> None:
    assert neighbourhood("10.0.0.5") == neighbourhood("::ffff:10.0.0.5") == "10.0.0.5"
    assert neighbourhood("fd00::1%eth0") == neighbourhood("fd00::2:3") == "fd00::/64"
    assert neighbourhood("fd00:0:0:1::1") != neighbourhood("fd00::1")


def test_the_command_prints_a_hash_and_never_the_passcode(monkeypatch, capsys) -> None:
    import io

    from node.cli.service.passcode import passcode

    monkeypatch.setattr("sys.stdin", io.StringIO("geheim ü\n"))
    passcode()
    said = capsys.readouterr().out.strip()
    assert matches(check_hash(said), "geheim ü".encode())
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(ConfigError, match="empty"):
        passcode()


def test_the_command_is_there() -> None:
    assert "passcode" in rasnode("passcode", "--help", check=True).stdout
