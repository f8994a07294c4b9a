"""Points in files: 3D Slicer's, and a list that has every point in every space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from node.assemble.markups import LPS, RAS, Markup
from node.core.errors import ConfigError
from node.space import MARKUPS, read_points, write_points

LIST: Final = ".json"


def points_of(path: Path, system: str | None) -> tuple[Markup, ...]:
    """Read points of 3D Slicer.

    Args:
        path: the file.
        system: `LPS` or `RAS`, where the file does not say it.

    Raises:
        ConfigError: there is no file, or no such system.
        AssemblyError: it cannot be read.
    """
    _check(system)
    try:
        return read_points(path, system)
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror or error}.") from error


def write_answers(
    path: Path,
    image: Path,
    markups: Sequence[Markup],
    answers: Sequence[dict[str, Any]],
    system: str | None,
) -> None:
    """Write points.

    Args:
        path: `.mrk.json`, `.fcsv`, or any other `.json` for a list with every space.
        image: whose voxels they are.
        markups: the points.
        answers: each point in every space.
        system: `LPS` or `RAS`, of what Slicer reads; LPS if None.

    Raises:
        ConfigError: it cannot be written, or there is no such system.
        AssemblyError: the file has another ending.
    """
    _check(system)
    try:
        if path.name.endswith(LIST) and not path.name.endswith(MARKUPS):
            names = ("label", "ijk", "lps", "ras", "inside", "value", "source")
            points = [{name: one.get(name) for name in names} for one in answers]
            told = {"image": image.name, "points": points}
            path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        else:
            write_points(path, markups, system or LPS)
    except OSError as error:
        raise ConfigError(f"Cannot write {path}: {error.strerror or error}.") from error


def _check(system: str | None) -> None:
    if system not in {None, LPS, RAS}:
        raise ConfigError(f"--system takes LPS or RAS, not {system!r}.")
