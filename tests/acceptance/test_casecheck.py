"""Small series made after public bug reports, each with its truth: right, or refused by name."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tests.running import shared

pytestmark = pytest.mark.acceptance

PARTS = 4
"""The cases are run in parts, side by side."""
BY_NODE = 12
"""The node makes volumes as the command does: it gets each twelfth case, as it waits for most."""
LONGEST = 290
COMMAND = f"{shlex.quote(sys.executable)} -m node"


def names() -> list[str]:
    """The names of all cases."""
    return sorted(
        path.stem for path in shared("checks/cases").glob("*.py") if not path.stem.startswith("_")
    )


def check(only: list[str], *further: str) -> subprocess.CompletedProcess[str]:
    """Those cases, by the command and with `--node` also by a node of their own."""
    script = str(shared("checks/casecheck.py"))
    return subprocess.run(
        [
            *(sys.executable, "-m", "tests.acceptance.unhurried", script),
            *("--rasnode", COMMAND, "--only", ",".join(only), "--quiet", *further),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_each_twelfth_case_is_right_or_refused_by_the_command_and_a_node(part: int) -> None:
    only = names()[::BY_NODE][part::PARTS]
    done = check(only, "--node")
    assert " 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("part", range(PARTS))
def test_every_other_case_is_right_or_refused_by_the_command(part: int) -> None:
    others = [name for number, name in enumerate(names()) if number % BY_NODE]
    done = check(others[part::PARTS])
    assert " 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr
