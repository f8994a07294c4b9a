"""A node without a network, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.databases import migrated_postgresql
from tests.simulator.bench import Bench


@pytest.fixture(params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """On either database."""
    with ExitStack() as database:
        url = ""
        if request.param == "postgresql":
            server = request.getfixturevalue("server")
            url = database.enter_context(migrated_postgresql(server))
        made = Bench(tmp_path, url=url)
        database.callback(made.index.close)
        yield made
