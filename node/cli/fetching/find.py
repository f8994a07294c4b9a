"""`rasnode find`: what a peer has."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer

from node.cli.context import ConfigOption, JsonOption
from node.cli.fetching.asking import cells, keys_of, peer_named
from node.cli.output.terminal import say_exactly
from node.core.errors import ConfigError
from node.core.query_keys import UNIQUE_KEY, Level
from node.core.settings.file import load_settings
from node.dimse.pull.question import BadKey, level_of
from node.dimse.scu.query import QueryFailed, QuerySCU, Row
from node.dimse.scu.requests import peer


class FindLevel(StrEnum):
    """What can be asked for."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    IMAGE = "image"


_ABOVE: Final = {
    Level.SERIES: ("StudyInstanceUID",),
    Level.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID"),
}
"""What a question names of the levels above (PS3.4 C.4.1.2.1)."""
_SHOWN: Final = {
    Level.PATIENT: ("PatientName", "PatientBirthDate", "PatientSex"),
    Level.STUDY: (
        "PatientID",
        "PatientName",
        "StudyDate",
        "ModalitiesInStudy",
        "AccessionNumber",
        "StudyDescription",
        "NumberOfStudyRelatedInstances",
    ),
    Level.SERIES: (
        "SeriesNumber",
        "Modality",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    ),
    Level.IMAGE: ("InstanceNumber", "SOPClassUID"),
}
"""What is shown where nobody says what to return."""


def find(
    name: Annotated[str, typer.Argument(metavar="PEER", help="The name of a peer.")],
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="DICOM keywords; * and ? are wildcards."),
    ] = None,
    level: Annotated[FindLevel, typer.Option(help="What to list.")] = FindLevel.STUDY,
    returned: Annotated[
        str, typer.Option("--return", metavar="KEY,…", help="Attributes to show, by keyword.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Tell the peer to stop after so many.")
    ] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
    config: ConfigOption = None,
) -> None:
    """Ask a peer what it has (C-FIND)."""
    settings = load_settings(config)
    known = peer_named(settings, name)
    asked = keys_of(keys or [])
    wanted = Level(level.value.upper())
    columns = _columns(wanted, asked, _keywords(returned))
    lacking = [key for key in _ABOVE.get(wanted, ()) if not asked.get(key)]
    if lacking:
        raise ConfigError(f"--level {level} needs {' and '.join(lacking)} as KEY=VALUE")
    destination = peer(settings.dicom, known)
    try:
        with QuerySCU(destination, prefer_patient_root=wanted is Level.PATIENT) as query:
            answer = query.ask(wanted, asked, columns, limit)
    except QueryFailed as error:
        _show(error.rows, columns, as_json=as_json, as_csv=as_csv)
        raise
    _show(answer.rows, columns, as_json=as_json, as_csv=as_csv)


def _keywords(listed: str) -> list[str]:
    keywords = [word.strip() for word in listed.split(",") if word.strip()]
    for keyword in keywords:
        try:
            level_of(keyword)
        except BadKey as error:
            raise ConfigError(f"--return: {error}") from error
    return keywords


def _columns(level: Level, keys: dict[str, str], returned: list[str]) -> list[str]:
    shown = returned or list(_SHOWN[level])
    return list(dict.fromkeys([UNIQUE_KEY[level], *keys, *shown]))


def _show(rows: Sequence[Row], columns: list[str], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        say_exactly(json.dumps([{key: row[key] for key in columns} for row in rows], indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(cells(row) for row in rows)
    else:
        _table(rows, columns)


def _table(rows: Sequence[Row], columns: list[str]) -> None:
    from node.cli.output.tables import Console, Table  # noqa: PLC0415  slow to import

    console = Console()
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(row[key] for key in columns))
    if console.is_terminal and len(rows) > console.height:
        with console.pager():
            console.print(table)
    else:
        console.print(table)
