"""`verify`: compares archived and published files with their recorded checksums."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.progress import progress_bar
from node.cli.output.terminal import say, say_exactly
from node.core.errors import ConfigError, NodeError
from node.core.settings.file import load_settings
from node.core.settings.model import parse_size
from node.lifecycle.verification.verifier import Checked, Pace, Verifier
from node.storage.index.engine import Index
from node.storage.index.series.damages import Damaged, Damages
from node.storage.index.series.verification import Inventory

_NAME = "command"
_MOST_NAMED = 10_000


def verify(
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", metavar="N", min=1, help="Compare only N instances, chosen at random."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", metavar="SIZE", help="Read at most SIZE per second, such as 50 MiB."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again, even if an earlier run was interrupted.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare all files with their recorded checksums.

    The node may run meanwhile. `rasnode status`, `rasnode doctor`, the page and /health show a
    damaged file until it is repaired: send a damaged instance again and it replaces the damaged
    one; the node makes published files again by itself. After Ctrl-C the next run goes on.
    """
    settings = load_settings(config)
    pace = _pace(rate)
    with existing_index(settings, config) as index:
        root = settings.storage.root.absolute()
        _check_readable(root)
        verifier = Verifier(index, root, name=_NAME, clock=time.time, pace=pace)
        if restart:
            verifier.restart()
        resumed = sample is None and verifier.progress().is_under_way
        try:
            done = _run(index, verifier, sample, resumed=resumed)
        except KeyboardInterrupt:
            later = "" if sample else ": the next `rasnode verify` goes on from here"
            raise KeyboardInterrupt(f"interrupted{later}") from None
        damaged = Damages(index).all(_MOST_NAMED)
    if as_json:
        counts = {"files": done.files, "bytes": done.bytes, "resumed": resumed}
        say_exactly(json.dumps({**counts, "damaged": [_as_json(one, root) for one in damaged]}))
    else:
        for one in damaged:
            say(f"{root / one.path}: {one}")
        say(f"{done.files} files compared, {done.bytes / 2**30:.2f} GiB")
    if damaged:
        raise NodeError(f"{len(damaged)} files are damaged or lost; they are listed above")


def _run(index: Index, verifier: Verifier, sample: int | None, *, resumed: bool) -> Checked:
    progress = verifier.progress()
    files, size = (progress.files, progress.bytes) if resumed else (0, 0)
    total = sample if sample is not None else Inventory(index).size()[0]
    with progress_bar("verifying", total) as bar:
        if resumed:
            bar.say(f"an earlier run was interrupted: going on after its {files} files")
            bar.advance(files)
        for _ in verifier.recheck_damaged():
            pass
        steps: Iterator[Checked] = (
            verifier.remaining() if sample is None else verifier.sample(sample)
        )
        for checked in steps:
            files, size = files + checked.files, size + checked.bytes
            bar.advance(checked.files)
    return Checked(files, size)


def _pace(rate: str | None) -> Pace:
    if rate is None:
        return lambda _size: None
    try:
        allowed = parse_size(rate)
    except ValueError as error:
        raise ConfigError(f"--rate: {error}") from error
    if not isinstance(allowed, int) or allowed <= 0:
        raise ConfigError("--rate must be more than 0, such as 50 MiB")
    return lambda size: time.sleep(size / allowed)


def _check_readable(root: Path) -> None:
    """Refuse a user who may not read the archive: all of it would count as damaged."""
    try:
        next((root / "archive").iterdir(), None)
    except OSError as error:
        raise ConfigError(
            f"cannot read {root / 'archive'}: {error.strerror}; run the command as the node's user"
        ) from error


def _as_json(damaged: Damaged, root: Path) -> dict[str, Any]:
    return {
        "path": str(root / damaged.path),
        "series_instance_uid": damaged.series_uid,
        "address": damaged.address,
        "sop_instance_uid": damaged.uid or None,
        "reason": str(damaged.reason),
        "sentence": damaged.sentence,
    }
