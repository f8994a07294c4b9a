"""Tables and lines that rich draws on a terminal, of text that peers may have sent."""

from __future__ import annotations

from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table as RichTable
from rich.text import Text

from node.core.plain_text import plain


class Console(RichConsole):
    """A console that prints text without control characters, and never as markup."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print lines and tables.

        Args:
            objects: text, tables and other things that rich prints.
            options: as `rich.console.Console.print` has them.
        """
        options.setdefault("highlight", False)
        super().print(*map(_harmless, objects), **options)


class Table(RichTable):
    """A table whose cells are plain text, never markup."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row.

        Args:
            cells: text.
            options: as `rich.table.Table.add_row` has them.
        """
        super().add_row(*map(_harmless, cells), **options)


def _harmless(thing: Any) -> Any:
    if isinstance(thing, Text):
        return Text(plain(thing.plain), style=thing.style)
    return Text(plain(thing)) if isinstance(thing, str) else thing
