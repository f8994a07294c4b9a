"""The black-box checks of every service against a node as people run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import TITLE, RunningNode, free_port, shared

pytestmark = pytest.mark.acceptance

ANSWERED_BY_ANOTHER_CONFIGURATION = {"ASC-01"}
"""What a node with the default settings cannot show: that it checks called AE titles."""
CALLED_TITLES_CHECKED = "ASC-01"


def checked(folder: Path, *options: str, **dicom: object) -> dict[str, dict[str, str]]:
    """What the checks say of a node, by their name."""
    script = shared("checks/qrcheck.py")
    listening = free_port()
    peer = {"name": "q", "ae_title": "QRCHECK", "host": "127.0.0.1", "port": listening}
    node = RunningNode(folder, {"dicom": {"peers": [peer], **dicom}}).start()
    outcome = folder / "outcome.json"
    command = [
        *(sys.executable, str(script), "--port", str(node.port), "--aet", TITLE),
        *("--listen-port", str(listening), "--timeout", "30", "--json", str(outcome), "--quiet"),
        *options,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
        assert outcome.exists(), done.stderr
    finally:
        node.kill()
    return {row["id"]: row for row in json.loads(outcome.read_text())["rows"]}


@pytest.mark.slow
def test_every_check_passes(tmp_path: Path) -> None:
    rows = checked(tmp_path)
    failed = [f"{name}: {row['why']}" for name, row in rows.items() if row["result"] == "FAIL"]
    skipped = {name for name, row in rows.items() if row["result"] == "SKIP"}
    assert not failed
    assert skipped <= ANSWERED_BY_ANOTHER_CONFIGURATION
    assert len(rows) >= 247


def test_called_titles_are_checked_where_that_is_wanted(tmp_path: Path) -> None:
    rows = checked(tmp_path, "--strict-aet", "--only", CALLED_TITLES_CHECKED, check_called_ae=True)
    assert rows[CALLED_TITLES_CHECKED]["result"] == "PASS"
