"""Fixtures for tests at every level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import postgresql
from tests.running import RunningNode

LONGEST = ("acceptance", "integration", "simulator", "fuzz")
"""The folders of tests that take seconds, the longest first."""
MANY = len(LONGEST) + 1

settings.register_profile("shared machine", deadline=None)  # time is for benchmarks
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: of two processes none is idle while the other ends."""
    items.sort(key=_place)  # which keeps the order of a file


def _place(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 0
    folders = item.nodeid.split("/")[:-1]
    return next((n for n, name in enumerate(LONGEST, start=1) if name in folders), MANY)


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
