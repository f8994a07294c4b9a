"""`ls`: patients, studies, series or instances, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_columns, say_exactly
from node.cli.series.filters import (
    NEWEST,
    LimitOption,
    SinceOption,
    StateOption,
    StudyOption,
    selection,
    shown_series,
)
from node.cli.series.formatting import history as history_of
from node.cli.series.series_uid import complete_series_uid
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage.index.search.listing import Listing
from node.storage.index.search.selection import Selection
from node.storage.index.series.work import Work


class ListLevel(StrEnum):
    """What `ls` can list."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


def ls(
    level: Annotated[ListLevel, typer.Option("--level", help="What to list.")] = ListLevel.SERIES,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="SERIES_UID",
            help="List the changes of state of this series, and who made them.",
            autocompletion=complete_series_uid,
        ),
    ] = None,
    state: StateOption = None,
    study: StudyOption = None,
    since: SinceOption = None,
    limit: LimitOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List patients, studies, series or instances.

    Without options it lists the newest 50; series that are not ready are always listed. With a
    filter it lists all that match. --json lists all, one JSON object a line.
    """
    settings = load_settings(config)
    asked = selection(state, study, since, limit)
    few = not as_json and asked == Selection()
    with existing_index(settings, config) as index:
        if history is not None:
            rows = history_of(Work(index), history)
        elif few and level is ListLevel.SERIES:
            rows = Listing(index).series_of(shown_series(index, asked))
        else:
            rows = _rows(
                Listing(index), settings, level, replace(asked, limit=NEWEST) if few else asked
            )
        for row in rows:
            if as_json:
                say_exactly(json.dumps(row))
            else:
                say_columns(list(row.values()))
        if few and history is None:
            _say_that_there_are_more(Listing(index).totals(), level)


def _say_that_there_are_more(totals: dict[str, int], level: ListLevel) -> None:
    counted = {
        ListLevel.PATIENT: "patients",
        ListLevel.STUDY: "studies",
        ListLevel.SERIES: "series",
        ListLevel.INSTANCE: "instances",
    }[level]
    if totals[counted] > NEWEST:
        say(
            f"these are the newest of {totals[counted]} {counted}: --json lists all, "
            "--limit lists more, --state, --study and --since choose",
            err=True,
        )


def _rows(
    listing: Listing, settings: Settings, level: ListLevel, asked: Selection
) -> Iterator[dict[str, Any]]:
    if level is not ListLevel.INSTANCE:
        rows = {
            ListLevel.PATIENT: listing.patients,
            ListLevel.STUDY: listing.studies,
            ListLevel.SERIES: listing.series,
        }
        yield from rows[level](asked)
        return
    archive = (settings.storage.root / "archive").absolute()
    for row in listing.instances(asked):
        yield {**row, "path": str(archive / row["path"])}
