"""A progress bar on a terminal, and nothing where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from node.cli.output.terminal import say


class Bar(NamedTuple):
    """What can be told to a progress bar.

    Attributes:
        advance: by so many.
        total: how many there will be.
        describe: what is being done.
        say: print a line on stderr.
    """

    advance: Callable[[int], None]
    total: Callable[[int], None]
    describe: Callable[[str], None]
    say: Callable[[str], None]


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Show how far something is, on stderr.

    Args:
        total: how many there are, if that is known.
    """
    if not sys.stderr.isatty():
        yield Bar(_nothing, _nothing, _nothing, _say)
        return
    # On its own it takes as long to import as a small command to run.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from node.cli.output.tables import Console  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(what, total=total)
        yield Bar(
            lambda count: progress.advance(task, count),
            lambda count: progress.update(task, total=count),
            lambda text: progress.update(task, description=text),
            lambda line: console.print(line, soft_wrap=True),
        )


def _say(line: str) -> None:
    say(line, err=True)


def _nothing(_: object) -> None:
    """Nobody looks."""
