"""`rasnode pull`: a job that fetches studies from a peer, and how far it is."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.context import ConfigOption, existing_index
from node.cli.fetching.asking import keys_of, peer_named
from node.cli.fetching.following import follow
from node.cli.fetching.report import write_report
from node.cli.output.terminal import say
from node.core.errors import ConfigError, NodeError
from node.core.fetch_limits import Rate, Window
from node.core.pulls import ItemState, NewPull
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.dimse.pull.list_file import read_list
from node.dimse.pull.question import BadKey, Question, question
from node.storage.index.peers.pulls import Pulls
from node.storage.root_lock import is_serving

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INTERRUPTED: Final = 130


class By(StrEnum):
    """How to fetch."""

    AUTO = "auto"
    MOVE = "move"
    GET = "get"


def pull(
    name: Annotated[str, typer.Argument(metavar="PEER", help="The name of a peer.")],
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Fetch the studies that match."),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE.csv", help="Fetch what each row asks for."),
    ] = None,
    by: Annotated[
        By, typer.Option(help="C-MOVE or C-GET; auto: C-GET where the peer refuses to move.")
    ] = By.AUTO,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only series that match; may be repeated."),
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="HH:MM-HH:MM", help="Retrieve in this local time only.")
    ] = "",
    rate: Annotated[
        str, typer.Option(metavar="N/min|N MiB/s", help="Instances or bytes, on average.")
    ] = "",
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Retrieves at once.")] = 2,
    job: Annotated[str, typer.Option("--name", metavar="JOB", help="Call the job so.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write what became of each row.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Fetch studies from a peer, proven complete.

    The running node does the job; Ctrl-C ends the display, not the job.
    """
    settings = load_settings(config)
    known = peer_named(settings, name)
    asked = _rows(rows, keys or [])
    only = keys_of(series or [])
    questions = [_question(query, only, line, rows) for line, query in asked]
    _check_limits(window, rate)
    if dry_run:
        from node.cli.fetching.dry_run import show_what_would_come  # noqa: PLC0415

        show_what_would_come(settings, known, questions)
        return
    if detach and report is not None:
        raise ConfigError("--report needs the end of the job: use `rasnode pulls JOB --report`")
    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigError(f"--report: there is no folder {report.absolute().parent}")
    called = job or f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not _NAME.fullmatch(called):
        raise ConfigError("--name: a job is called by letters, digits, dots, - and _, at most 64")
    new = NewPull(called, name, tuple(asked), only, by.value, window, rate, parallel)
    with existing_index(settings, config) as index:
        pulls = Pulls(index)
        pulls.create(new, time.time())
        say(f"job {called}: {len(asked)} rows; see it with `rasnode pulls {called}`")
        _wait(settings, pulls, called, detach=detach)
        if detach:
            return
        (ended,) = pulls.jobs(called)
        if report is not None:
            write_report(report, pulls, ended)
        states = pulls.counts(ended)
    say(", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    if set(states) != {ItemState.COMPLETE}:
        raise typer.Exit(1)


def _wait(settings: Settings, pulls: Pulls, job: str, *, detach: bool) -> None:
    root = settings.storage.root
    if not is_serving(root):
        sentence = f"no node runs: job {job} waits until `rasnode serve` is started"
        if not detach:
            raise NodeError(sentence)
        say(sentence, err=True)
    if detach:
        return
    try:
        follow(pulls, job, lambda: is_serving(root))
    except KeyboardInterrupt:
        say(f"job {job} goes on in the node; see it with `rasnode pulls {job}`", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _rows(path: Path | None, keys: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    if (path is None) == (not keys):
        raise ConfigError("say what to fetch: either --list FILE.csv or KEY=VALUE")
    return [(1, keys_of(keys))] if path is None else read_list(path)


def _question(
    query: dict[str, str], series: dict[str, str], line: int, path: Path | None
) -> Question:
    try:
        return question(query, series)
    except BadKey as error:
        where = "" if path is None else f"{path}, line {line}: "
        raise ConfigError(f"{where}{error}") from error


def _check_limits(window: str, rate: str) -> None:
    try:
        if window:
            Window.parse(window)
    except ValueError as error:
        raise ConfigError(f"--window: {error}") from error
    try:
        if rate:
            Rate.parse(rate)
    except ValueError as error:
        raise ConfigError(f"--rate: {error}") from error
