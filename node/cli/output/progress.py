"""A progress bar on a terminal; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from node.cli.output.terminal import say


class Bar(NamedTuple):
    """The functions of a progress bar.

    Attributes:
        advance: go on by a number of steps.
        total: set the number of all steps.
        describe: set the text in front of the bar.
        say: print a line on stderr, above the bar.
    """

    advance: Callable[[int], None]
    total: Callable[[int], None]
    describe: Callable[[str], None]
    say: Callable[[str], None]


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Show the progress of a command on stderr.

    Args:
        what: the text in front of the bar.
        total: the number of all steps, if it is known.
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
    """There is no terminal to show it on."""
