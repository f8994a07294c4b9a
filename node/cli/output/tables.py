"""Tables and lines that rich draws on a terminal, of text that may be others'."""

from __future__ import annotations

from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table as RichTable
from rich.text import Text

from node.core.plain_text import plain


class Console(RichConsole):
    """A console on which nothing that is printed acts: text is cleaned, and is no markup."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print lines and tables; options are rich's."""
        options.setdefault("highlight", False)
        super().print(*map(_harmless, objects), **options)


class Table(RichTable):
    """A table whose cells are text, and nothing else."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row; options are rich's."""
        super().add_row(*map(_harmless, cells), **options)


def _harmless(thing: Any) -> Any:
    if isinstance(thing, Text):
        return Text(plain(thing.plain), style=thing.style)
    return Text(plain(thing)) if isinstance(thing, str) else thing
