"""`protocol`: the parameters of a session, to be expected of others or compared with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from node.assemble.protocol import described, deviations, missing
from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_exactly
from node.convert import InstanceSource, OutputOptions, read_folder
from node.convert.planning import planned_volumes
from node.core.errors import ConfigError
from node.core.settings.file import load_settings
from node.lifecycle.assembly.task import sources_of
from node.lifecycle.expectations import read_protocol
from node.storage.index.series.work import Work


def protocol(
    session: Annotated[
        str,
        typer.Argument(help="A Study Instance UID, or a folder of DICOM files."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the protocol to this file.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="Compare the session with the protocol in this file."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a protocol of a session, or compare with one.

    The file holds TR, TE, flip angle, matrix, spacing, orientation, coils and number of volumes of
    each series. Name it in `expect:`, and the node compares each series with it.
    """
    found = _session(session, config)
    if check is None:
        text = msgspec.json.format(json.dumps({"schema": 1, "series": found}), indent=2)
        if out is None:
            say_exactly(text)
        else:
            out.write_text(text + "\n", "utf-8")
            say(f"{out}: {len(found)} volumes")
        return
    result = _compared(check, found)
    if as_json:
        say_exactly(json.dumps(result))
    else:
        for line in _lines(result):
            say(line)
    if result["drift"] or result["missing"]:
        raise typer.Exit(1)


def _session(session: str, config: Path | None) -> list[dict[str, Any]]:
    """The parameters of every volume of a session, in the order of the Series Numbers."""
    folder = Path(session)
    if folder.exists():
        series = [list(one.instances) for one in read_folder([folder], forgiving=True)[0]]
    else:
        series = _of_study(session, config)
    if not series:
        raise ConfigError(f"{session} is neither a study of this node nor a folder with DICOM")
    series.sort(key=lambda one: one[0].header.series_number or 0)
    options = OutputOptions()
    return [described(volume) for one in series for volume in planned_volumes(one, options)]


def _of_study(uid: str, config: Path | None) -> list[list[InstanceSource]]:
    settings = load_settings(config)
    archive = settings.storage.root / "archive"
    with existing_index(settings, config) as index:
        work = Work(index)
        found = [one for one in work.of_study(uid) if one.run is None]
        return [sources_of(archive, work.instances(one.pk)) for one in found]


def _compared(check: Path, found: list[dict[str, Any]]) -> dict[str, Any]:
    reference = read_protocol(check)
    drift, unknown = [], []
    for one in found:
        differing = deviations(reference, one)
        if differing is None:
            unknown.append(one["series"] + one["kind"])
        else:
            drift += [{**each._asdict(), "sentence": each.sentence} for each in differing]
    lacking = [
        one.series for one in missing(reference, found) for _ in range(one.expected - one.found)
    ]
    return {"drift": drift, "missing": lacking, "unknown": unknown}


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [one["sentence"] for one in result["drift"]]
    lines += [f"{name}: is missing" for name in result["missing"]]
    lines += [f"{name}: is not in the protocol" for name in result["unknown"]]
    return lines or ["the session is as the protocol says"]
