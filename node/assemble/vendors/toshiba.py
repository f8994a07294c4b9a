"""Toshiba, now Canon: the same elements under another name."""

from __future__ import annotations

from typing import Final

from node.assemble.vendors.canon import refine, tiles

__all__ = ["NAME", "refine", "tiles"]

NAME: Final = "Toshiba"
