"""The one place where commands print: text that peers sent loses its control characters here."""

from __future__ import annotations

from typing import Any

import typer

from node.core.plain_text import plain


def say(line: object, *, err: bool = False) -> None:
    """Print one line without control characters; tabs stay.

    Args:
        line: anything; as `str` has it.
        err: print on stderr.
    """
    typer.echo(plain(line, keep="\t"), err=err)  # noqa: TID251  here


def say_columns(values: list[Any]) -> None:
    """Print values in one line with tabs between them; None is printed as nothing."""
    say("\t".join("" if value is None else plain(value) for value in values))


def say_exactly(text: str, *, nl: bool = True) -> None:
    """Print JSON, which escapes control characters, or several lines of the node's own text.

    Args:
        text: printed unchanged.
        nl: print a line break at the end.
    """
    typer.echo(text, nl=nl)  # noqa: TID251  here
