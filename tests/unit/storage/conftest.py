"""Every test of the index runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.storage.index.engine import Index
from tests.databases import migrated_postgresql, migrated_sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    """An empty index."""
    with ExitStack() as database:
        if request.param == "sqlite":
            url = migrated_sqlite(tmp_path / "index.db")
        else:
            server = request.getfixturevalue("server")
            url = database.enter_context(migrated_postgresql(server))
        made = Index(url)
        database.callback(made.close)
        yield made
