"""The two databases that the index speaks: a SQLite file, and a PostgreSQL server of the test's."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.running import free_port


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
