"""Small series made after public bug reports, each with its truth: right, or refused by name."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tests.running import shared

pytestmark = pytest.mark.acceptance

PARTS = 6
"""The cases are run in parts, side by side."""
LONGEST = 600
COMMAND = f"{shlex.quote(sys.executable)} -m node"


def names() -> list[str]:
    """The names of all cases."""
    return sorted(
        path.stem for path in shared("checks/cases").glob("*.py") if not path.stem.startswith("_")
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_every_case_is_right_or_refused_by_command_and_node(part: int) -> None:
    only = ",".join(names()[part::PARTS])
    script = str(shared("checks/casecheck.py"))
    done = subprocess.run(
        [*(sys.executable, script, "--rasnode", COMMAND, "--node", "--only", only, "--quiet")],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert " 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr
