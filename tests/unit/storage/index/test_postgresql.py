"""PostgreSQL that goes silent, is slow, or is no longer the primary: named, and within a time."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from node.core.errors import Retryable
from node.storage.index import postgresql
from node.storage.index.database_errors import IndexUnavailable
from node.storage.index.engine import Index
from node.storage.index.inspection import check_writable
from tests.silence import Network


@pytest.fixture
def network(server: str) -> Iterator[Network]:
    made = Network(int(server.rpartition(":")[2].partition("/")[0]))
    yield made
    made.close()


def through(network: Network, server: str, **options: float) -> Index:
    port = server.rpartition(":")[2].partition("/")[0]
    return Index(server.replace(f":{port}/", f":{network.port}/"), **options)


def test_a_pooled_connection_that_went_silent_is_given_up_soon(
    server: str, network: Network
) -> None:
    index = through(network, server)
    check_writable(index)
    network.fall_silent()
    began = time.monotonic()
    with pytest.raises(IndexUnavailable, match="does not answer"):
        check_writable(index)
    assert time.monotonic() - began < 9
    network.come_back()
    check_writable(index)  # at once: what did not answer is not in the pool any more
    index.close()


def test_a_statement_under_way_is_given_up(server: str, network: Network) -> None:
    index = through(network, server, statement_seconds=0.5)
    with pytest.raises(IndexUnavailable, match="did not answer within"):  # noqa: PT012, SIM117
        with index.writing() as connection:
            connection.execute(text("SELECT 1"))
            network.fall_silent()
            connection.execute(text("SELECT 1"))
    index.close()


def test_the_server_ends_what_takes_too_long(server: str) -> None:
    index = Index(server, statement_seconds=0.3)
    with pytest.raises(IndexUnavailable, match="statement timeout"), index.reading() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    index.close()


def test_maintenance_may_take_longer(server: str) -> None:
    index = Index(server, statement_seconds=0.2)
    with index._maintenance() as connection:
        connection.execute(text("SELECT pg_sleep(0.4)"))
    index.close()


def test_a_lock_is_not_waited_for_for_ever(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 1)
    one, two = Index(server), Index(server)
    lock = text("SELECT pg_advisory_xact_lock(1)")
    with one.writing() as holder:
        holder.execute(lock)
        with pytest.raises(IndexUnavailable, match="lock timeout"), two.writing() as waiter:
            waiter.execute(lock)
    one.close()
    two.close()


def test_a_transaction_that_its_client_forgot_lets_go(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION_SECONDS", 1)
    index = Index(server)
    with pytest.raises(Retryable), index.writing() as connection:  # noqa: PT012
        connection.execute(text("SELECT 1"))
        time.sleep(1.3)
        connection.execute(text("SELECT 1"))
    check_writable(index)
    index.close()


def test_the_pool_is_not_waited_for_for_ever(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "POOL_SECONDS", 0.2)
    monkeypatch.setattr("node.storage.index.engine._OPTIONS", {"pool_size": 1, "max_overflow": 0})
    index = Index(server)
    with index.reading(), pytest.raises(IndexUnavailable, match="all connections"):  # noqa: SIM117
        with index.reading():
            pass
    index.close()


def test_a_server_that_is_read_only_may_be_written_later(server: str) -> None:
    index = Index(server)
    with pytest.raises(IndexUnavailable, match="read-only"), index.writing() as connection:  # noqa: PT012
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text("CREATE TABLE nothing (id int)"))
    index.close()


def test_both_ends_give_a_dead_network_up(server: str) -> None:
    index = Index(server)
    with index.reading() as connection:
        raw = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(raw.fileno())) as ours:  # type: ignore[union-attr]
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8000
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 4
        show = ("tcp_keepalives_idle", "tcp_user_timeout", "idle_in_transaction_session_timeout")
        theirs = [connection.scalar(text(f"SHOW {name}")) for name in show]
    assert theirs == ["4", "8000", "2min"]
    index.close()


def test_what_the_url_says_is_kept(server: str) -> None:
    index = Index(f"{server}?connect_timeout=7&options=-c%20lock_timeout%3D1234ms")
    with index.reading() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "1234ms"
        assert connection.scalar(text("SHOW statement_timeout")) == "30s"
    assert index.engine.dialect.create_connect_args(index.engine.url)[1]["connect_timeout"] == "7"
    index.close()


def test_patience_is_a_threads_own(server: str) -> None:
    index = Index(server)
    seen: list[object] = []

    def other() -> None:
        with index.reading() as connection:
            seen.append(connection.scalar(text("SELECT 1 FROM pg_sleep(0.5)")))

    with postgresql.answers_within(0.01):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(20)
    assert seen == [1]
    index.close()
