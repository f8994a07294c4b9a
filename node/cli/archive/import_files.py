"""`import`: DICOM files from a disk."""

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

_OUTCOME_SECONDS: Final = 5.0  # for the node to ingest the last files
_STILL_SECONDS: Final = 3600.0
_QUIET_TIMES: Final = 20.0  # of the longest wait that completion.quiet_seconds may lead to


def import_files(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="DICOM files, or folders that contain them."),
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the running node has made the volumes.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Import DICOM files from a disk.

    They are treated as if a peer had sent them. Files that are not DICOM are listed and skipped.
    Ctrl-C stops after the current file; importing the same files again goes on.
    """
    settings = load_settings(config)
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ConfigError(f"there is no file or folder {missing[0]}")
    with _interruptible() as stopping:
        with journal_access(settings, stopping) as access:
            if wait and not access.has_node:
                raise ConfigError(
                    "--wait needs a running node: start it with `rasnode serve`, or import "
                    "without --wait and start the node later: it makes the volumes then"
                )
            tally = _import(settings, access, paths, stopping, until_ingested=wait)
            if wait:
                _wait(settings, access, tally, stopping)
        if stopping.is_set():
            raise KeyboardInterrupt("interrupted: importing the same files again goes on")
    if tally.refused and not tally.kept:
        raise NodeError("none of the files could be imported; the reasons are listed above")


def _import(
    settings: Settings,
    access: Access,
    paths: list[Path],
    stopping: threading.Event,
    *,
    until_ingested: bool,
) -> Tally:
    with (
        progress_bar("importing") as bar,
        open_importer(access, settings, say=bar.say, stopping=stopping) as intake,
    ):
        background("counting files", partial(_count, paths, bar))
        try:
            intake.take(paths, bar.advance)
            intake.finish(math.inf if until_ingested or not access.has_node else _OUTCOME_SECONDS)
        finally:
            say(_summary(intake.tally))
    return intake.tally


def _count(paths: list[Path], bar: Bar) -> None:
    bar.total(count_below(paths))


def _summary(tally: Tally) -> str:
    stored = tally.stored
    summary = (
        f"{stored[Stored.NEW]} imported, {stored[Stored.SAME]} were there already, "
        f"{stored[Stored.CONFLICT]} in conflict, {tally.refused} not imported"
    )
    return f"{summary}, {tally.waiting} safe and being ingested" if tally.waiting else summary


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
            left=lambda count: bar.describe(f"assembling, {count} series left"),
        )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C lets the current file be finished; the next one ends the command at once."""
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)
