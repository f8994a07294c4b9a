"""docs/security.md names tests that are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    """Threat, what happens, tests."""
    page = (ROOT / "docs/security.md").read_text()
    section = page.partition("\n## Threats\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_threat_has_tests_that_are_there() -> None:
    found = rows()
    assert len(found) > 30
    for threat, _, named in found:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", named)
        assert tests, threat
        assert re.sub(r"`[^`]+`|[, ]", "", named) == "", threat
        for path, name in tests:
            assert (ROOT / path).exists(), (threat, path)
            assert name in names_in(path), (threat, path, name)
