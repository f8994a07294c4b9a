"""`import`: DICOM files that do not come over the network."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.context import ConfigOption
from node.cli.output.progress import Bar, progress_bar
from node.cli.output.terminal import say
from node.core.errors import ConfigError, NodeError
from node.core.records import Stored
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.core.supervision import background
from node.storage.importing.folder_walk import count_below
from node.storage.importing.importer import Tally, open_importer
from node.storage.importing.journal_access import Access, journal_access
from node.storage.importing.wait_for_series import wait_for_series
from node.storage.index.imported import Imported
from node.storage.root_lock import is_serving

_OUTCOME_SECONDS: Final = 5.0  # for the node to have ingested what was imported
_STILL_SECONDS: Final = 3600.0
_QUIET_TIMES: Final = 20.0  # of the longest wait that completion.quiet_seconds may lead to
_INTERRUPTED: Final = 130


def import_files(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the running node has made the volumes.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Take existing DICOM files in as if they had been sent."""
    settings = load_settings(config)
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ConfigError(f"there is no {missing[0]}")
    with _interruptible() as stopping:
        with journal_access(settings, stopping) as access:
            if wait and not access.has_node:
                raise ConfigError(
                    "--wait needs a running node: start it with `rasnode serve`, or import "
                    "without --wait; volumes are made once it runs"
                )
            tally = _take_in(settings, access, paths, stopping, to_the_end=wait)
            if wait:
                _wait(settings, access, tally, stopping)
        if stopping.is_set():
            say("interrupted: importing the same files again goes on", err=True)
            raise typer.Exit(_INTERRUPTED)
    if tally.refused and not tally.kept:
        raise NodeError("nothing could be imported")


def _take_in(
    settings: Settings,
    access: Access,
    paths: list[Path],
    stopping: threading.Event,
    *,
    to_the_end: bool,
) -> Tally:
    with (
        progress_bar("importing") as bar,
        open_importer(access, settings, say=bar.say, stopping=stopping) as intake,
    ):
        background("counting files", partial(_count, paths, bar))
        try:
            intake.take(paths, bar.advance)
            intake.finish(math.inf if to_the_end or not access.has_node else _OUTCOME_SECONDS)
        finally:
            say(_summary(intake.tally))
    return intake.tally


def _count(paths: list[Path], bar: Bar) -> None:
    bar.total(count_below(paths))


def _summary(tally: Tally) -> str:
    stored = tally.stored
    said = (
        f"{stored[Stored.NEW]} imported, {stored[Stored.SAME]} were there already, "
        f"{stored[Stored.CONFLICT]} in conflict, {tally.refused} not imported"
    )
    return f"{said}, {tally.waiting} are safe and being ingested" if tally.waiting else said


def _wait(settings: Settings, access: Access, tally: Tally, stopping: threading.Event) -> None:
    quiet = settings.completion.quiet_seconds
    longest = 0.0 if quiet == "learned" else quiet * _QUIET_TIMES
    with progress_bar("assembling") as bar:
        wait_for_series(
            Imported(access.index),
            tally.series,
            node_lives=lambda: is_serving(settings.storage.root),
            stopping=stopping,
            still_seconds=_STILL_SECONDS + longest,
            left=lambda count: bar.describe(f"assembling, {count} series to go"),
        )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C lets what was begun be finished; the next one ends it at once."""
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)
