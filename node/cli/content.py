"""`status` and `ls`: what the node holds and how far it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.cli.opening import ConfigOption, JsonOption, existing_index
from node.cli.telling import deliveries, why
from node.cli.telling import history as history_of
from node.config import Settings
from node.config_file import load_settings
from node.index.listing import Listing
from node.index.outbox import Outbox
from node.index.work import Work
from node.records import SeriesRecord


class ListLevel(StrEnum):
    """What `ls` can list."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Series with state, verdict, instances, revision, outputs; queue and disk figures."""
    settings = load_settings(config)
    index = existing_index(settings)
    by = Listing(index).last_words()
    series = [_series(record, settings, by.get(record.pk, "")) for record in Work(index).in_state()]
    totals = Listing(index).totals()
    free = shutil.disk_usage(settings.storage.root).free
    disk = {"free": free, "minimum_free": settings.storage.minimum_free}
    told = deliveries(Outbox(index))
    if as_json:
        whole = {"series": series, "totals": totals, "disk": disk, "deliveries": told}
        typer.echo(json.dumps(whole, indent=1))
        return
    table = Table(
        "series", "modality", "no.", "description", "instances", "state", "by", "verdict", "rev"
    )
    for row in series:
        cells = (
            row["series_instance_uid"], row["modality"], row["number"], row["description"],
            row["instances"], row["state"], row["by"], row["verdict"] or "", row["revision"],
        )  # fmt: skip
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    console = Console()
    console.print(table)
    console.print(
        f"{totals['instances']} instances in {totals['series']} series, "
        f"{totals['studies']} studies, {totals['patients']} patients; "
        f"{totals['conflicts']} conflicts; {free / 2**30:.1f} GiB free",
        highlight=False,
    )
    for row in series:
        if row["why"]:
            console.print(Text(f"{row['series_instance_uid']}: {row['why']}"))
    if told["counts"]["pending"]:
        console.print(f"{told['counts']['pending']} deliveries wait", highlight=False)
    for dead in told["dead"]:
        console.print(
            Text(
                f"{dead['series_instance_uid']}: {dead['target']} did not get {dead['event']}: "
                f"{dead['error']}; `rasnode retry` tries again"
            )
        )


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
    if history is not None:
        rows = history_of(Work(existing_index(settings)), history)
    else:
        rows = _rows(settings, level)
    for row in rows:
        if as_json:
            typer.echo(json.dumps(row))
        else:
            typer.echo("\t".join("" if value is None else str(value) for value in row.values()))


def _rows(settings: Settings, level: ListLevel) -> Iterator[dict[str, Any]]:
    listing = Listing(existing_index(settings))
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
