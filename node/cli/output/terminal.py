"""The one place that commands print at: what others wrote reaches no terminal as it is."""

from __future__ import annotations

from typing import Any

import typer

from node.core.plain_text import plain


def say(line: object, *, err: bool = False) -> None:
    """Print one line, whatever is in it; tabs stay.

    Args:
        err: on stderr.
    """
    typer.echo(plain(line, keep="\t"), err=err)  # noqa: TID251  here


def say_columns(values: list[Any]) -> None:
    """Print values in one line with tabs between them; nothing for None."""
    say("\t".join("" if value is None else plain(value) for value in values))


def say_exactly(text: str, *, nl: bool = True) -> None:
    """Print JSON, which escapes what could act, or several lines of the node's own.

    Args:
        nl: with a line break at the end.
    """
    typer.echo(text, nl=nl)  # noqa: TID251  here
