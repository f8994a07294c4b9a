"""The two databases that the index speaks: a SQLite file, and a PostgreSQL server of the test's."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from node.storage.index.engine import Index
from tests.running import free_port

_NUMBERS = count(1)


def migrated_sqlite(path: Path) -> str:
    """An empty index in a file that is not there yet; returns its SQLAlchemy URL.

    It is a copy: the migrations, which take a tenth of a second, have run once.
    """
    path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.db")
        index = Index(f"sqlite:///{path}")
        index.migrate()
        index.close()  # the last connection moves the log into the file
        assert not Path(f"{path}-wal").exists()
        return path.read_bytes()


@contextmanager
def migrated_postgresql(server: str) -> Iterator[str]:
    """An empty index in a database of its own on `server`; yields its SQLAlchemy URL.

    It is a copy: the migrations, which take half a second, have run once.
    """
    template, name = _migrated_database(server), f"index_{next(_NUMBERS)}"
    with _administered(server) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield _on(server, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _migrated_database(server: str) -> str:
    with _administered(server) as connection:
        connection.execute("CREATE DATABASE migrated")
    index = Index(_on(server, "migrated"))
    index.migrate()
    index.close()
    return "migrated"


@contextmanager
def _administered(server: str) -> Iterator[psycopg.Connection]:
    url = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def _on(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


def _tool(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.skip("needs a PostgreSQL server (apt-get install postgresql)")
    return str(found[-1])


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A throw-away server on a free loopback port; yields its SQLAlchemy URL."""
    initdb, server = _tool("initdb"), _tool("postgres")
    user = _other_user() if os.geteuid() == 0 else None  # it refuses to run as root
    data = folder / "pg"
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
        for parent in data.parents:
            if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run(
        [initdb, "-D", str(data), "-U", "node", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
    )
    port = free_port()
    options = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
    settings = [word for option in options for word in ("-c", option)]
    with subprocess.Popen(
        [server, "-D", str(data), "-p", str(port), *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
    ) as process:
        try:
            _wait(port)
            yield f"postgresql+psycopg://node@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # at once, whoever is still connected


def _wait(port: int) -> None:
    ready = [_tool("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "20"]
    for _ in range(100):
        if subprocess.run(ready, check=False, capture_output=True).returncode == 0:
            return
    pytest.fail("PostgreSQL did not start")


def _other_user() -> str:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
