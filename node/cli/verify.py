"""`verify`: are all files still what was received and published?"""

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
        typer.Option("--sample", metavar="N", min=1, help="Only N instances, taken by chance."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="SIZE", help="Read at most so much a second: 50 MiB."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do not go on where an earlier run was stopped.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every archived and published file with what was received and published.

    Beside a running node or without one. What is damaged is named, and stays named in status,
    doctor, page and /health until it is healed: send the instance again, and it takes the damaged
    one's place; published files are made again by the node itself. Ctrl-C stops it, and the next
    run goes on.
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
        done = _run(index, verifier, sample, resumed=resumed)
        damaged = Damages(index).all(_MOST_NAMED)
    if as_json:
        told = {"files": done.files, "bytes": done.bytes, "resumed": resumed}
        say_exactly(json.dumps({**told, "damaged": [_as_json(one, root) for one in damaged]}))
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
            bar.say(f"going on where an earlier run was stopped, after {files} files")
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
        raise ConfigError(f"--rate is {error}") from error
    if not isinstance(allowed, int) or allowed <= 0:
        raise ConfigError("--rate has to be more than nothing")
    return lambda size: time.sleep(size / allowed)


def _check_readable(root: Path) -> None:
    """Somebody who may not read the archive must not take all of it for damaged."""
    try:
        next((root / "archive").iterdir(), None)
    except OSError as error:
        raise ConfigError(
            f"cannot look into {root / 'archive'}: {error.strerror}; run it as the node's user"
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
