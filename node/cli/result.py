"""`rasnode result`: a mask, map or image back into DICOM, on the slices it came from."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_exactly
from node.convert.results import Form, Refusal, ResultError, ResultOptions
from node.core.errors import ConfigError, NodeError
from node.core.events import DeliveryState
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.lifecycle.results.kept import ResultStore, encode_to
from node.lifecycle.results.making import Kind, Made, Request, make
from node.lifecycle.results.numbers import free_number
from node.lifecycle.results.series import ResultSeries
from node.lifecycle.results.texts import checked_text, read_algorithm
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.work import Work
from node.storage.run_file import running_node

WAIT_SECONDS: Final = 3600.0
_LOOK_SECONDS: Final = 0.5


def result(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A NIfTI on a volume's grid.")],
    of: Annotated[
        str, typer.Option("--of", metavar="SERIES_UID", help="The series that it was made of.")
    ],
    kind: Annotated[Kind, typer.Option("--as", help="What it becomes.")] = Kind.SEG,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE.json", help="What the numbers of a mask mean."),
    ] = None,
    units: Annotated[
        str, typer.Option("--units", metavar="UCUM", help="Of a map; else Units of its JSON.")
    ] = "",
    description: Annotated[
        str, typer.Option("--description", metavar="TEXT", help="Series Description.")
    ] = "",
    algorithm: Annotated[
        str | None,
        typer.Option("--algorithm", metavar="NAME,VERSION", help="What made it; else a person."),
    ] = None,
    form: Annotated[
        Form,
        typer.Option("--form", help="Of a SEG; fractional is for one label's probability, 0 to 1."),
    ] = Form.BINARY,
    codes: Annotated[
        Path | None,
        typer.Option("--codes", metavar="FILE.json", help="Further codes by name."),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring an image on another grid to the slices.")
    ] = False,
    revision: Annotated[
        int | None,
        typer.Option("--revision", metavar="N", min=1, help="Of the series it was made on."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE_OR_FOLDER", help="Several objects need a folder."
        ),
    ] = None,
    send: Annotated[
        str | None, typer.Option("--send", metavar="PEER", help="Of dicom.peers.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --send: until the peer has it, an hour at most.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a mask, map or image into DICOM on its source slices."""
    if output is None and send is None:
        raise ConfigError("Say where it goes: -o FILE_OR_FOLDER, or --send PEER, or both.")
    options = ResultOptions(
        checked_text(description, "--description"), read_algorithm(algorithm, "--algorithm")
    )
    settings = load_settings(config)
    _check_peer(settings, send)
    request = Request(kind, form, labels, units, codes, resample, revision, options)
    with existing_index(settings, config) as index:
        series = _series(settings, index, of)
        outbox = Outbox(index)
        number = free_number(Work(index), outbox, series.record.pk)
        numbered = replace(request, options=replace(options, series_number=number))
        made = make(series, image, numbered)
        paths = _write(made, output) if output is not None else []
        key = _send(settings, outbox, series, made, send) if send is not None else ""
        _report(series, made, paths, kind, send, as_json=as_json)
        if send is not None and wait:
            _wait(settings, outbox, key, send)


def _series(settings: Settings, index: Index, uid: str) -> ResultSeries:
    root = settings.storage.root
    return ResultSeries(Work(index), root / "archive", root / "nifti", uid)


def _check_peer(settings: Settings, name: str | None) -> None:
    names = [peer.name for peer in settings.dicom.peers]
    if name is not None and name not in names:
        known = ", ".join(names) or "none is there"
        raise ResultError(
            Refusal.UNKNOWN_PEER, f"There is no peer {name!r} in dicom.peers ({known})."
        )


def _write(made: Made, output: str) -> list[Path]:
    """Write the objects to a file, or into a folder."""
    target = Path(output)
    try:
        if len(made.objects) == 1 and not output.endswith(os.sep) and not target.is_dir():
            paths = [target]
        else:
            target.mkdir(parents=True, exist_ok=True)
            paths = [target / f"{one.SOPInstanceUID}.dcm" for one in made.objects]
        for path, one in zip(paths, made.objects, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            with part.open("wb") as file:
                encode_to(file, one)
            part.replace(path)
    except OSError as error:
        raise NodeError(f"Cannot write {target}: {error.strerror or error}.") from error
    return paths


def _send(settings: Settings, outbox: Outbox, series: ResultSeries, made: Made, peer: str) -> str:
    """Put the objects into the outbox; returns the delivery's key."""
    store = ResultStore(settings.storage.root.absolute(), outbox, settings.storage.minimum_free)
    return store.send_once(series.record, peer, made.objects)


def _report(
    series: ResultSeries,
    made: Made,
    paths: list[Path],
    kind: Kind,
    peer: str | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        answer: dict[str, Any] = {
            "as": str(kind),
            "of": series.record.address,
            "series_instance_uid": str(made.objects[0].SeriesInstanceUID),
            "series_number": int(made.objects[0].SeriesNumber),
            "instances": [str(one.SOPInstanceUID) for one in made.objects],
            "files": [str(path) for path in paths],
            "send": peer,
            "labels_left_out": [
                {"value": label.value, "name": label.name} for label in made.left_out
            ],
        }
        say_exactly(json.dumps(answer))
        return
    for path in paths:
        say(path)
    if peer is not None:
        say(f"{len(made.objects)} objects are in the outbox for {peer}")
    for label in made.left_out:
        say(f"label {label.value} ({label.name}) has no voxel and was left out", err=True)


def _wait(settings: Settings, outbox: Outbox, key: str, peer: str) -> None:
    """Wait until a delivery is made.

    Raises:
        NodeError: it was given up, no node runs, or it takes too long; it stays in the outbox.
    """
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = outbox.with_keys([key])
        if not found or found[0].state is DeliveryState.DELIVERED:
            return
        if found[0].state is DeliveryState.DEAD:
            raise NodeError(f"{peer} did not take it: {found[0].error}")
        if running_node(settings.storage.root) is None:
            raise NodeError(
                f"No node runs that could send it to {peer}. It stays in the outbox, and goes out "
                "once `rasnode serve` runs."
            )
        time.sleep(_LOOK_SECONDS)
    raise NodeError(
        f"{peer} has not taken it within {WAIT_SECONDS:g} s; it stays in the outbox and is tried "
        "again."
    )
