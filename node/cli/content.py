"""`status` and `ls`: what the node holds and how far it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from node.cli.opening import ConfigOption, JsonOption, existing_index
from node.cli.telling import deliveries, delivery_warnings, why
from node.cli.telling import history as history_of
from node.config import Settings
from node.config_file import load_settings
from node.index.listing import Listing
from node.index.outbox import Outbox
from node.index.work import Work
from node.records import SeriesRecord

_TABLE_WIDTH = 150
_PIPE_WIDTH = 200


class ListLevel(StrEnum):
    """What `ls` can list."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Series with state, verdict, instances, revision, outputs; queue and disk figures."""
    settings = load_settings(config)
    with existing_index(settings, config) as index:
        by = Listing(index).last_words()
        records = Work(index).in_state()
        totals = Listing(index).totals()
        told = deliveries(Outbox(index))
    series = [_series(record, settings, by.get(record.pk, "")) for record in records]
    free = shutil.disk_usage(settings.storage.root).free
    warnings = delivery_warnings(settings.storage.root)
    disk = {"free": free, "minimum_free": settings.storage.minimum_free}
    if as_json:
        whole = {"series": series, "totals": totals, "disk": disk, "deliveries": told}
        whole["warnings"] = warnings
        typer.echo(json.dumps(whole, indent=1))
        return
    console = _console()
    if console.width < _TABLE_WIDTH:
        _print_lines(console, series)
    else:
        _print_table(console, series)
    console.print(
        f"{_several(totals['instances'], 'instance')} in {totals['series']} series, "
        f"{_several(totals['studies'], 'study', 'studies')}, "
        f"{_several(totals['patients'], 'patient')}; "
        f"{_several(totals['conflicts'], 'conflict')}; {free / 2**30:.1f} GiB free",
        highlight=False,
    )
    for row in series:
        if row["why"]:
            console.print(Text(f"{row['series_instance_uid']}: {row['why']}"), soft_wrap=True)
    if told["counts"]["pending"]:
        console.print(f"deliveries that wait: {told['counts']['pending']}", highlight=False)
    for warning in warnings:
        console.print(Text(warning), soft_wrap=True)
    for dead in told["dead"]:
        console.print(
            Text(
                f"{dead['series_instance_uid']}: {dead['target']} did not get {dead['event']}: "
                f"{dead['error']}; `rasnode retry` tries again"
            )
        )


def _console() -> Console:
    """As wide as the terminal; what is piped somewhere is wide enough for everything."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PIPE_WIDTH if piped else None)


def _several(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _print_table(console: Console, series: list[dict[str, Any]]) -> None:
    table = Table(
        Column("series", no_wrap=True),
        *("modality", "no.", "description", "instances", "state", "by", "verdict", "rev"),
    )
    for row in series:
        cells = (
            row["series_instance_uid"], row["modality"], row["number"], row["description"],
            row["instances"], row["state"], row["by"], row["verdict"] or "", row["revision"],
        )  # fmt: skip
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    console.print(table)


def _print_lines(console: Console, series: list[dict[str, Any]]) -> None:
    """Where a table would have to cut UIDs, which every other command asks for."""
    for row in series:
        number = "" if row["number"] is None else str(row["number"])
        named = " ".join(filter(None, (row["modality"], number, row["description"])))
        said = (
            _several(row["instances"], "instance"),
            row["state"],
            row["verdict"],
            f"revision {row['revision']}",
        )
        console.print(Text(row["series_instance_uid"]), soft_wrap=True)
        console.print(Text(f"  {named}: {', '.join(filter(None, said))}"), soft_wrap=True)


def ls(
    level: Annotated[ListLevel, typer.Option("--level", help="What to list.")] = ListLevel.SERIES,
    history: Annotated[
        str | None,
        typer.Option("--history", metavar="SERIES_UID", help="Who did what to this series."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the node holds; with --json one object a line."""
    settings = load_settings(config)
    with existing_index(settings, config) as index:
        if history is not None:
            rows = history_of(Work(index), history)
        else:
            rows = _rows(Listing(index), settings, level)
        for row in rows:
            if as_json:
                typer.echo(json.dumps(row))
            else:
                said = ("" if value is None else str(value) for value in row.values())
                typer.echo("\t".join(said))


def _rows(listing: Listing, settings: Settings, level: ListLevel) -> Iterator[dict[str, Any]]:
    if level is not ListLevel.INSTANCE:
        rows = {
            ListLevel.PATIENT: listing.patients,
            ListLevel.STUDY: listing.studies,
            ListLevel.SERIES: listing.series,
        }
        yield from rows[level]()
        return
    archive = (settings.storage.root / "archive").absolute()
    for row in listing.instances():
        yield {**row, "path": str(archive / row["path"])}


def _series(record: SeriesRecord, settings: Settings, by: str) -> dict[str, Any]:
    verdict = record.verdict or {}
    outputs = (settings.storage.root / "nifti").absolute()
    return {
        "series_instance_uid": record.uid,
        "study_instance_uid": record.study_uid,
        "modality": record.modality,
        "number": record.number,
        "description": record.description,
        "instances": record.instances,
        "state": str(record.state),
        "since": datetime.fromtimestamp(record.state_since, UTC).isoformat(),
        "by": by,
        "verdict": verdict.get("verdict"),
        "why": why(record),
        "evidence": verdict,
        "revision": record.revision,
        "outputs": [str(outputs / name) for name in record.outputs],
    }
