"""Random worlds of studies: none is told of before a series that anybody knows is at rest.

`RASNODE_TEST_STUDIES=1000 pytest tests/simulator/test_studies.py` lives through more.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.simulator.studies import StudyWorld

WORLDS = int(os.environ.get("RASNODE_TEST_STUDIES", "20"))
BATCH = 5  # each within the time limit of a test, also on a busy machine


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_studies(first: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # many worlds have much to tell
    failures = {}
    for seed in range(first, min(first + BATCH, WORLDS)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        if wrong := StudyWorld(seed, folder).live():
            failures[seed] = wrong
    assert not failures, failures
