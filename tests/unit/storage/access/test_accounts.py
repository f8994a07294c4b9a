"""Users, tokens and sessions: who gets in, until when, and what remains after a removal."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from node.core.errors import ConfigError
from node.storage.access import accounts
from node.storage.access.accounts import AccountRefused, Accounts, Grant, checked_name
from node.storage.access.database import FILE, AccessDatabase, AccessUnavailable


class Clock:
    """Seconds since 1970 that a test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(tmp_path: Path, clock: Clock) -> Accounts:
    return Accounts(tmp_path, clock)


def test_a_user_is_found_with_role_and_hash_by_any_process(known: Accounts, tmp_path: Path) -> None:
    known.add_user("vera", "viewer", "HASH")

    assert Accounts(tmp_path).user("vera") == (Grant("vera", "viewer"), "HASH")
    assert known.user("Vera") is None


def test_a_name_is_given_once(known: Accounts) -> None:
    known.add_user("vera", "viewer", "HASH")
    with pytest.raises(AccountRefused, match="exists already"):
        known.add_user("vera", "admin", "OTHER")
    assert known.user("vera") == (Grant("vera", "viewer"), "HASH")


def test_a_removal_ends_password_tokens_and_sessions_of_the_name_alone(known: Accounts) -> None:
    for name in ("vera", "otto"):
        known.add_user(name, "operator", "HASH")
        known.add_token(name, "viewer", f"token {name}", None)
        assert known.begin_session(f"session {name}", name, None, 60)
    known.remove("vera")

    assert known.user("vera") is None
    assert known.by_token("token vera") is None
    assert known.by_session("session vera") is None
    assert known.user("otto") is not None
    assert known.by_token("token otto") == Grant("otto", "viewer")
    assert known.by_session("session otto") == Grant("otto", "operator")
    with pytest.raises(AccountRefused, match="'vera'"):
        known.remove("vera")


def test_a_session_of_a_user_who_comes_again_is_not_the_earlier_one(known: Accounts) -> None:
    known.add_user("vera", "viewer", "HASH")
    known.begin_session("old", "vera", None, 60)
    known.remove("vera")
    known.add_user("vera", "admin", "HASH")
    assert known.by_session("old") is None


def test_tokens_and_sessions_end_in_time(known: Accounts, clock: Clock) -> None:
    known.add_user("vera", "viewer", "HASH")
    known.add_token("tool", "admin", "token", clock.now + 100)
    known.begin_session("session", "vera", None, 100)
    clock.now += 99
    assert known.by_token("token") is not None
    assert known.by_session("session") is not None
    clock.now += 1
    assert known.by_token("token") is None
    assert known.by_session("session") is None


def test_a_session_of_a_local_user_needs_the_user(known: Accounts) -> None:
    assert not known.begin_session("session", "ghost", None, 60)
    assert known.by_session("session") is None


def test_a_session_of_a_provider_has_the_role_that_it_began_with(known: Accounts) -> None:
    known.add_user("olga", "admin", "HASH")
    assert known.begin_session("session", "olga", "viewer", 60)
    assert known.by_session("session") == Grant("olga", "viewer")


def test_of_many_sessions_the_oldest_ends(
    known: Accounts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_SESSIONS", 3)
    known.add_user("vera", "viewer", "HASH")
    for number in range(5):
        clock.now += 1
        known.begin_session(str(number), "vera", None, 60)
    assert [known.by_session(str(n)) is not None for n in range(5)] == [False, False] + [True] * 3


def test_a_token_has_no_more_rights_than_the_user_of_the_name(known: Accounts) -> None:
    known.add_user("vera", "viewer", "HASH")
    with pytest.raises(AccountRefused, match="vera is viewer"):
        known.add_token("vera", "operator", "token", None)
    assert known.by_token("token") is None


def test_the_list_has_everybody_and_no_secret(known: Accounts, clock: Clock) -> None:
    known.add_user("vera", "viewer", "HASH")
    known.begin_session("session", "vera", None, 60)
    known.add_token("tool", "admin", "token", clock.now + 9)
    vera, tool = reversed(known.all())
    assert (vera.name, vera.role, vera.sessions) == ("vera", "viewer", 1)
    assert (tool.name, tool.role, tool.token_roles) == ("tool", None, ("admin",))
    assert "HASH" not in repr(known.all())


def test_two_that_begin_at_once_share_one_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: Accounts(tmp_path).secret(), range(16)))
    assert len(secrets) == 1


def test_others_cannot_read_the_file(known: Accounts, tmp_path: Path) -> None:
    known.add_user("vera", "viewer", "HASH")
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_a_damaged_file_and_one_of_a_later_version_are_named(tmp_path: Path) -> None:
    Accounts(tmp_path).all()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="later version"):
        Accounts(tmp_path).all()
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(AccessUnavailable, match=FILE):
        Accounts(tmp_path).all()


def test_a_copy_has_users_and_tokens_and_no_sessions(known: Accounts, tmp_path: Path) -> None:
    assert not AccessDatabase(tmp_path).snapshot(tmp_path / "none")
    known.add_user("vera", "viewer", "HASH")
    known.add_token("tool", "admin", "token", None)
    known.begin_session("session", "vera", None, 1e9)
    copied = tmp_path / "copy" / FILE
    copied.parent.mkdir()
    assert AccessDatabase(tmp_path).snapshot(copied)

    restored = Accounts(copied.parent)
    assert restored.user("vera") is not None
    assert restored.by_token("token") is not None
    assert restored.by_session("session") is None
    assert known.by_session("session") is not None
    assert copied.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["vera", "röntgen.2", "olga@example.org", "a", "x" * 64])
def test_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\n", "x" * 65, "<b>", "a/b", "a,b"])
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a name"):
        checked_name(name)
