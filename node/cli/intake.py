"""`import` and `reindex`: instances that do not come over the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.archive import Archive
from node.cli.opening import ConfigOption, sole_owner
from node.config import Settings
from node.config_file import load_settings
from node.errors import ConfigError, MalformedDataSet, NodeError
from node.identity import claim, refuse_foreign
from node.index.engine import Index
from node.index.store import Store
from node.index.work import Work
from node.receive import SUCCESS, Outcome, Receiver, incoming_from_file
from node.records import SeriesState, Stored
from node.reindex import reindex as rebuild

_UNDER_WAY = (SeriesState.RECEIVING, SeriesState.SETTLED, SeriesState.ASSEMBLING)
_POLL_SECONDS = 0.5


def import_files(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when a running node has made the volumes.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Take existing DICOM files in as if they had been sent."""
    settings = load_settings(config)
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ConfigError(f"there is no {missing[0]}")
    receiver, index = _receiver(settings)
    files = list(_files(paths))
    counts = dict.fromkeys(Stored, 0)
    refused: list[tuple[Path, str]] = []
    for path in _tracked(files, "importing"):
        try:
            outcome = _take(receiver, path)
        except (MalformedDataSet, OSError) as error:
            refused.append((path, str(error)))
            continue
        if outcome.status == SUCCESS and outcome.stored is not None:
            counts[outcome.stored] += 1
        else:
            refused.append((path, f"0x{outcome.status:04X} {outcome.comment}"))
    for path, why in refused:
        typer.echo(f"not imported: {path}: {why}", err=True)
    typer.echo(
        f"{counts[Stored.NEW]} imported, {counts[Stored.SAME]} were there already, "
        f"{counts[Stored.CONFLICT]} in conflict, {len(refused)} not imported"
    )
    if wait:
        _wait(Work(index))
    if refused and not any(counts.values()):
        raise NodeError("nothing could be imported")


def reindex(config: ConfigOption = None) -> None:
    """Rebuild the index from the archive alone; the node must not be running."""
    settings = load_settings(config)
    archive = Archive(settings.storage.root)
    if not archive.root.exists():
        raise ConfigError(f"there is no archive in {settings.storage.root} (storage.root)")
    with sole_owner(settings.storage.root):
        archive.prepare()
        index = Index(settings.database_url())
        refuse_foreign(index, settings.storage.root)
        index.recreate()
        claim(index, settings.storage.root)
        total = sum(1 for _ in archive.files())
        with _progress() as progress:
            task = progress.add_task("reindexing", total=total)
            files, unreadable = rebuild(
                archive, Store(index), lambda done: progress.advance(task, done)
            )
    for path in unreadable:
        typer.echo(f"not indexed: {path}", err=True)
    typer.echo(f"{files - len(unreadable)} instances indexed, {len(unreadable)} could not be read")
    if unreadable:
        raise NodeError("some archived files could not be read; they are listed above and kept")


def _receiver(settings: Settings) -> tuple[Receiver, Index]:
    archive = Archive(settings.storage.root)
    try:
        archive.prepare()
    except OSError as error:
        raise ConfigError(
            f"cannot write to storage.root {settings.storage.root}: {error.strerror}"
        ) from error
    index = Index(settings.database_url())
    refuse_foreign(index, settings.storage.root)
    index.migrate()
    claim(index, settings.storage.root)
    receiver = Receiver(
        archive, Store(index), minimum_free=settings.storage.minimum_free, clock=time.time
    )
    return receiver, index


def _take(receiver: Receiver, path: Path) -> Outcome:
    incoming = incoming_from_file(path.read_bytes())
    return receiver.store(incoming)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(item for item in path.rglob("*") if item.is_file())
        else:
            yield path


def _tracked(files: list[Path], what: str) -> Iterator[Path]:
    with _progress() as progress:
        yield from progress.track(files, description=what)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _wait(work: Work) -> None:
    """Until nothing is under way; it is the running node that does the work."""
    with _progress() as progress:
        task = progress.add_task("assembling", total=None)
        while under_way := len(work.in_state(*_UNDER_WAY)):
            progress.update(task, description=f"assembling, {under_way} series to go")
            time.sleep(_POLL_SECONDS)
