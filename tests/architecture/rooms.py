"""The rooms of `node/`: their order in pyproject.toml, and what each of them really imports."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def layers(pyproject: Path = ROOT / "pyproject.toml") -> list[list[str]]:
    """The layers of import-linter's contract, from the top; a layer has rooms that do not meet."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["type"] == "layers")
    named = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    rooms = [[name for name in layer if (ROOT / "node" / name).is_dir()] for layer in named]
    return [layer for layer in rooms if layer]


def may_import(order: list[list[str]]) -> dict[str, set[str]]:
    """Of each room, the rooms of all layers below it."""
    return {
        room: {below for lower in order[place + 1 :] for below in lower}
        for place, layer in enumerate(order)
        for room in layer
    }


@cache
def imports(room: str) -> frozenset[str]:
    """The other rooms that modules of `room` import, at the top or inside of functions."""
    found = set()
    for path in (ROOT / "node" / room).rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
                module = statement.module or ""
                names = [f"{module}.{alias.name}" for alias in statement.names]
            else:
                continue
            found |= {name.split(".")[1] for name in names if name.startswith("node.")}
    return frozenset(name for name in found - {room} if (ROOT / "node" / name).is_dir())
