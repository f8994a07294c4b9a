"""Fixtures for tests at every level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import postgresql
from tests.running import RunningNode

settings.register_profile("shared machine", deadline=None)  # time is for benchmarks
settings.load_profile("shared machine")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """A started node with default settings; killed at the end whatever happens."""
    made = RunningNode(tmp_path)
    try:
        yield made.start()
    finally:
        made.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The SQLAlchemy URL of a PostgreSQL server that tests have databases of their own on."""
    with postgresql(tmp_path_factory.mktemp("server")) as url:
        yield url
