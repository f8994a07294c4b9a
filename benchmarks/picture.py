"""Bars in an SVG: the picture of what a benchmark measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 760  # pixels, like everything here
LEFT: Final = 170
RIGHT: Final = 90
ROW: Final = 22
GAP: Final = 34
TOP: Final = 44
OURS: Final = "#1f6f8b"
OTHERS: Final = "#b9c4c9"


@dataclass(frozen=True)
class Bars:
    """A group of bars on a scale of its own: label, value, and what is written at the end."""

    title: str
    bars: Sequence[tuple[str, float, str]]


def draw(path: Path, title: str, groups: Sequence[Bars], note: str = "") -> None:
    """Write the picture. The bar of the node has its own colour."""
    parts = [_text(16, 26, title, size=17, bold=True)]
    y = TOP
    for group in groups:
        parts.append(_text(16, y + 14, group.title, bold=True))
        y += ROW
        most = max(value for _, value, _ in group.bars)
        for label, value, said in group.bars:
            length = (WIDTH - LEFT - RIGHT) * value / most if most else 0
            colour = OURS if label.startswith("rasnode") else OTHERS
            parts.append(_text(LEFT - 8, y + 15, label, anchor="end"))
            parts.append(
                f'<rect x="{LEFT}" y="{y + 3}" width="{max(1, length):.1f}" height="{ROW - 6}" '
                f'rx="2" fill="{colour}"/>'
            )
            parts.append(_text(LEFT + length + 6, y + 15, said))
            y += ROW
        y += GAP - ROW
    if note:
        parts.append(_text(16, y + 14, note, size=11))
        y += ROW
    height = y + 8
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(
    x: float, y: float, words: str, *, size: int = 13, bold: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{weight} text-anchor="{anchor}" '
        f'fill="#222222">{escape(words)}</text>'
    )
