"""Draw docs/pictures/architecture.svg: `python -m tests.architecture.picture`, `make architecture`.

A row is a room, with the rooms that it imports as dots. Rooms stand in the order of the layers, so
that every dot is to the right of the diagonal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from tests.architecture.rooms import ROOT, imports, layers, may_import

PICTURE: Final = ROOT / "docs/pictures/architecture.svg"
CELL: Final = 38  # pixels, like everything here
LEFT: Final = 150
TOP: Final = 118
INK: Final = "#1f6f8b"
PALE: Final = "#b9c4c9"
BANDS: Final = ("#f3f6f7", "#ffffff")


def drawn() -> str:
    """The picture as SVG."""
    order = layers()
    rooms = [room for layer in order for room in layer]
    allowed = may_import(order)
    side = len(rooms) * CELL
    parts = [_text(16, 24, "What each room imports", size=17, bold=True)]
    line = 0
    for number, layer in enumerate(order):
        y, height = TOP + line * CELL, len(layer) * CELL
        parts.append(
            f'<rect x="16" y="{y}" width="{LEFT - 16 + side}" height="{height}" '
            f'fill="{BANDS[number % 2]}"/>'
        )
        line += len(layer)
    for row, room in enumerate(rooms):
        middle = TOP + row * CELL + CELL // 2
        parts.append(_text(LEFT - 12, middle + 5, room, anchor="end", bold=True))
        x = LEFT + row * CELL + CELL // 2
        parts.append(
            f'<text transform="translate({x + 5},{TOP - 8}) rotate(-60)">{escape(room)}</text>'
        )
        parts.append(
            f'<rect x="{x - CELL // 2}" y="{middle - CELL // 2}" width="{CELL}" '
            f'height="{CELL}" fill="#dde4e7"/>'
        )
        used = imports(room)
        for column, other in enumerate(rooms):
            centre = LEFT + column * CELL + CELL // 2
            if other in used:
                colour = INK if other in allowed[room] else "#c0392b"
                parts.append(f'<circle cx="{centre}" cy="{middle}" r="9" fill="{colour}"/>')
            elif other in allowed[room]:
                parts.append(
                    f'<circle cx="{centre}" cy="{middle}" r="4" fill="none" stroke="{PALE}"/>'
                )
    bottom = TOP + side
    parts.append(f'<circle cx="30" cy="{bottom + 26}" r="9" fill="{INK}"/>')
    parts.append(_text(46, bottom + 31, "the room of the row imports the room of the column"))
    parts.append(f'<circle cx="30" cy="{bottom + 52}" r="4" fill="none" stroke="{PALE}"/>')
    parts.append(_text(46, bottom + 57, "it may, and does not"))
    width, height = LEFT + side + 60, bottom + 76
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(
    x: float, y: float, said: str, *, size: int = 13, bold: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}"{weight}>'
        f"{escape(said)}</text>"
    )


def write(path: Path = PICTURE) -> None:
    """Write the picture to its place in the documentation."""
    path.write_text(drawn())


if __name__ == "__main__":
    write()
