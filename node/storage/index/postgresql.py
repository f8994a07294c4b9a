"""PostgreSQL with a deadline for every wait, so that a server that goes silent holds nobody.

Three things can fall silent, and each has its own answer. The network: the kernel gives a
connection up by keepalives and `tcp_user_timeout`, on both ends. The server's work: it ends a
statement, a wait for a lock or an idle transaction itself. The server behind a network that still
acknowledges (a stopped process, a pooler that lost its database): only a clock on this side helps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import QueuePool

from node.core.errors import ConfigError

CONNECT_SECONDS: Final = 3
PING_SECONDS: Final = 3.0  # for the SELECT by which a pooled connection shows that it lives
POOL_SECONDS: Final = 5.0  # for one of the pool's connections to come back
STATEMENT_SECONDS: Final = 30.0
LOCK_SECONDS: Final = 20
IDLE_IN_TRANSACTION_SECONDS: Final = 120  # a slow reader of a long list may take so long
MAINTENANCE_SECONDS: Final = 4 * 3600.0  # a migration rewrites whole tables
_GRACE_SECONDS: Final = 3.0  # so much longer than the server's own limit is waited for its word
_TCP: Final = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 2}
_TCP_MILLISECONDS: Final = 8000  # that what was sent may stay without an acknowledgement

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Give up each wait for the server in this block after `seconds`, whatever else holds."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def make_engine(url: URL, statement_seconds: float, options: Mapping[str, Any]) -> Engine:
    """An engine whose every wait ends.

    Args:
        url: what it says of time-outs, keepalives or `options` is kept.
        statement_seconds: how long the server may work on one statement.
        options: further arguments of `create_engine`.

    Raises:
        ConfigError: the driver is not installed, or the URL names another.
    """
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=POOL_SECONDS,
            connect_args=_connect_args(url, statement_seconds),
            poolclass=QueuePool,
            **options,
        )
        connect = _bounded_connect(statement_seconds)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            "database.url has to begin with postgresql+psycopg://, and its driver has to be "
            "there: pip install 'psycopg[binary]>=3.2'"
        ) from error

    def do_connect(_dialect: Any, _record: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return connect(*args, **kwargs)

    event.listen(engine, "do_connect", do_connect)
    ping = engine.dialect.do_ping

    def do_ping(connection: Any) -> bool:
        with answers_within(PING_SECONDS):
            return ping(connection)

    engine.dialect.do_ping = do_ping  # type: ignore[method-assign,assignment]
    return engine


def _connect_args(url: URL, statement_seconds: float) -> dict[str, Any]:
    limits = {
        "statement_timeout": int(statement_seconds * 1000),
        "lock_timeout": LOCK_SECONDS * 1000,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_SECONDS * 1000,
        # The server's end: what a connection that broke has locked is free again soon.
        **{f"tcp_{name}": value for name, value in _TCP.items()},
        "tcp_user_timeout": _TCP_MILLISECONDS,
    }
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    theirs = url.query.get("options", ())
    ours = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives": 1,
        **_TCP,
        "tcp_user_timeout": _TCP_MILLISECONDS,
    }
    return {
        **{name: value for name, value in ours.items() if name not in url.query},
        "options": " ".join([options, *([theirs] if isinstance(theirs, str) else theirs)]),
    }


def _bounded_connect(statement_seconds: float) -> Any:
    import psycopg  # noqa: PLC0415  an optional dependency

    class BoundedConnection(psycopg.Connection[Any]):
        """A connection that closes itself when the server does not answer in time."""

        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            patience = _patience.get()
            seconds = statement_seconds + _GRACE_SECONDS if patience is None else patience
            return super().wait(self._until(gen, seconds), *args, **kwargs)

        def _until(self, gen: Generator[Any, Any, Any], seconds: float) -> Any:
            deadline = monotonic() + seconds
            try:
                state = next(gen)
                while True:
                    ready = yield state
                    if not ready and monotonic() > deadline:
                        self.pgconn.finish()  # closing politely would wait for the server again
                        raise psycopg.OperationalError(
                            f"PostgreSQL did not answer within {seconds:g} s"
                        )
                    state = gen.send(ready)
            except StopIteration as end:
                return end.value

    return BoundedConnection.connect
