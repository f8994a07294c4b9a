"""PostgreSQL with a deadline for every wait, so that a server that does not answer blocks nothing.

Three things can stop answering, and each has its own remedy. The network: keepalives and
`tcp_user_timeout` end the connection on both sides. The work of the server: it ends a statement, a
wait for a lock or an idle transaction itself. The server, while the network still acknowledges (a
stopped process, a pooler that lost its database): the client ends the wait by its own clock.
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
PING_SECONDS: Final = 3.0  # for the SELECT that tests a pooled connection
POOL_SECONDS: Final = 5.0  # for a free connection of the pool
STATEMENT_SECONDS: Final = 30.0
LOCK_SECONDS: Final = 20
IDLE_IN_TRANSACTION_SECONDS: Final = 120  # for a client that reads a long list slowly
MAINTENANCE_SECONDS: Final = 4 * 3600.0  # a migration rewrites whole tables
_GRACE_SECONDS: Final = 3.0  # beyond the server's own limit
_TCP: Final = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 2}
_TCP_MILLISECONDS: Final = 8000  # for an acknowledgement of the peer's kernel

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Within the block, end each wait for the server after `seconds` instead of the usual time."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def make_engine(url: URL, statement_seconds: float, options: Mapping[str, Any]) -> Engine:
    """An engine with a deadline for every wait.

    Args:
        url: its own time-outs, keepalives and `options` take precedence.
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
            "installed: pip install 'psycopg[binary]>=3.2'"
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
        # The server's side: it soon releases the locks of a connection that broke.
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
        """A connection that is closed when the server does not answer in time."""

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
                        self.pgconn.finish()  # a regular close would wait for the server
                        raise psycopg.OperationalError(
                            f"PostgreSQL did not answer within {seconds:g} s"
                        )
                    state = gen.send(ready)
            except StopIteration as end:
                return end.value

    return BoundedConnection.connect
