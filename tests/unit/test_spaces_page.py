"""docs/spaces.md: its code runs as it stands, and its pictures show its numbers."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import spaces
from tests.phantom import CT, Phantom, oblique, save

ROOT = Path(__file__).parents[2]
OPTIONAL = ("SimpleITK", "torch")
PAGE = (ROOT / "docs/spaces.md").read_text()


@pytest.fixture(autouse=True)
def _series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    turned = Phantom(rotation=oblique((0.3, -0.2, 0.4)), sop_class=CT)
    save(turned.instances(), tmp_path / "ct")
    save(turned.but(rotation=np.eye(3), series="1.2.3").instances(), tmp_path / "mr")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def needs(block: str) -> set[str]:
    return {module for module in OPTIONAL if f"import {module}" in block}


def test_every_block_runs_after_those_before(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {}
    run = [block for block in blocks() if all(map(find_spec, needs(block)))]
    assert len(run) >= 8
    for block in run:
        exec(compile(block, "docs/spaces.md", "exec"), known)  # noqa: S102  the page's own code
    assert "tooth is in voxel" in capsys.readouterr().out
    assert (known["ct"] == spaces.CT).all()
    assert (known["mr"] == spaces.MR).all()


def test_pictures_are_what_the_code_draws(tmp_path: Path) -> None:
    for name, draw in spaces.PICTURES.items():
        draw().write(tmp_path / name)
        drawn = (ROOT / "docs/pictures" / name).read_text()
        assert (tmp_path / name).read_text() == drawn, "python -m benchmarks.spaces docs/pictures"
        assert f"(pictures/{name})" in PAGE
