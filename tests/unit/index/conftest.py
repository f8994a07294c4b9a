"""Every test of the index runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.index.engine import Index
from tests.databases import postgresql


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """An empty index."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('index') / 'index.db'}"
    else:
        url = request.getfixturevalue("server")
    made = Index(url)
    made.recreate()
    yield made
    made.close()
