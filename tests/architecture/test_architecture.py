"""docs/architecture.md has every room, and its picture shows the imports that there are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.architecture.picture import PICTURE, drawn
from tests.architecture.rooms import ROOT, imports, layers, may_import

PAGE = ROOT / "docs/architecture.md"


def test_the_picture_shows_the_imports_of_today() -> None:
    assert PICTURE.read_text() == drawn(), "run: make architecture"


def test_no_import_points_up() -> None:
    for room, allowed in may_import(layers()).items():
        assert imports(room) <= allowed, room


def test_imports_inside_functions_count() -> None:
    assert "storage" in imports("cli")
    assert imports("core") == set()


def test_the_table_has_every_room_with_what_it_may_import() -> None:
    section = PAGE.read_text().partition("## The rooms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", section, re.MULTILINE)
    order = layers()
    assert [room for room, _ in rows] == [room for layer in order for room in layer]
    allowed = may_import(order)
    for room, said in rows:
        assert _meant(said, order, room) == allowed[room], room


def _meant(said: str, order: list[list[str]], room: str) -> set[str]:
    """The rooms that a cell of the table names; `all below` are those of the layers below."""
    if said == "all below":
        return may_import(order)[room]
    return set(re.findall(r"`(\w+)`", said))


def test_every_module_that_a_document_names_is_there() -> None:
    pages: list[Path] = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    pages += (ROOT / "docs").glob("*.md")
    for page in pages:
        for name in re.findall(r"python -m ((?:tests|benchmarks)[\w.]*)", page.read_text()):
            path = ROOT / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), (page, name)
        for name in re.findall(r"`((?:node|tests|benchmarks)/[\w/.]+)`", page.read_text()):
            assert (ROOT / name).exists(), (page, name)
