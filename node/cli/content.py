"""`status` and `ls`: what the node holds and how far it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, Final

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.formatting import damage_warnings, deliveries, delivery_warnings, why
from node.cli.output.formatting import history as history_of
from node.cli.output.terminal import say, say_columns, say_exactly
from node.cli.overview import Overview, show
from node.cli.quarantine import kept, lines
from node.cli.selecting import LimitOption, SinceOption, StateOption, StudyOption, selection
from node.core.records import SeriesRecord, SeriesState
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.search.listing import Listing
from node.storage.index.search.selection import Selection, Selector
from node.storage.index.series.damages import Damages
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.work import Work

NEWEST: Final = 50
"""Series that people are shown when they ask for nothing in particular,"""
MOST_UNREADY: Final = 200
"""beside at most so many that are not ready; and of what they ask for, without `--limit`."""
UNREADY: Final = (
    SeriesState.RECEIVING,
    SeriesState.SETTLED,
    SeriesState.ASSEMBLING,
    SeriesState.HELD,
    SeriesState.FAILED,
)
"""What is under way, or waits for a person. Nothing is to be done about what is no volume."""


class ListLevel(StrEnum):
    """What `ls` can list."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


def status(
    state: StateOption = None,
    study: StudyOption = None,
    since: SinceOption = None,
    limit: LimitOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Series with state, verdict, instances, revision, outputs; queue and disk figures.

    Without options: what is not ready, and the newest 50. --json has every series.
    """
    settings = load_settings(config)
    asked = selection(state, study, since, limit)
    with existing_index(settings, config) as index:
        listing = Listing(index)
        parts = Selector(index).series(asked) if as_json else _for_people(index, asked)
        series = _described(index, settings, parts)
        free = shutil.disk_usage(settings.storage.root).free
        damaged = Damages(index)
        warnings = [*delivery_warnings(settings.storage.root), *damage_warnings(damaged)]
        disk = {"free": free, "minimum_free": settings.storage.minimum_free}
        beside = kept(settings, index)
        if as_json:
            _say_series(series)
            told = deliveries(Outbox(index))
            say_exactly(f' "totals": {json.dumps(listing.totals())},')
            say_exactly(f' "disk": {json.dumps(disk)},')
            say_exactly(f' "kept": {json.dumps(beside.said())},')
            say_exactly(f' "deliveries": {json.dumps(told)},')
            say_exactly(f' "damaged": {json.dumps(damaged.count())},')
            say_exactly(f' "warnings": {json.dumps(warnings)}\n}}')
            return
        shown = list(series)
        totals, told = listing.totals(), deliveries(Outbox(index))
    cut = asked.is_filter and asked.limit is None and len(shown) == MOST_UNREADY
    show(
        Overview(shown, totals, free, told, [*lines(beside), *warnings]),
        everything=asked == Selection(),
        cut=cut,
    )


def _say_series(series: Iterable[dict[str, Any]]) -> None:
    """The first part of one JSON object, a series a line, as they are read."""
    say_exactly('{\n "series": [', nl=False)
    for number, row in enumerate(series):
        say_exactly(f"{',' if number else ''}\n  {json.dumps(row)}", nl=False)
    say_exactly("\n ],")


def _for_people(index: Index, asked: Selection) -> Iterator[list[int]]:
    """Not more than can be looked at."""
    selector = Selector(index)
    if asked.is_filter or asked.limit is not None:
        yield from selector.series(replace(asked, limit=asked.limit or MOST_UNREADY))
        return
    unready = selector.series(Selection(states=UNREADY, limit=MOST_UNREADY))
    newest = selector.series(Selection(limit=NEWEST))
    yield sorted(set(chain.from_iterable(chain(unready, newest))))


def _described(
    index: Index, settings: Settings, parts: Iterable[list[int]]
) -> Iterator[dict[str, Any]]:
    listing, work, namesakes = Listing(index), Work(index), Namesakes(index)
    for part in parts:
        by, shares = listing.last_words(part), namesakes.of(part)
        for record in work.of(part):
            told = [one.as_dict() for one in shares.get(record.pk, ())]
            yield _series(record, settings, by.get(record.pk, ""), told)


def ls(
    level: Annotated[ListLevel, typer.Option("--level", help="What to list.")] = ListLevel.SERIES,
    history: Annotated[
        str | None,
        typer.Option("--history", metavar="SERIES_UID", help="Who did what to this series."),
    ] = None,
    state: StateOption = None,
    study: StudyOption = None,
    since: SinceOption = None,
    limit: LimitOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the node holds: the newest 50, all with --json, then one object a line.

    Series that are not ready are listed, too. With a filter everything that fits is listed.
    """
    settings = load_settings(config)
    asked = selection(state, study, since, limit)
    few = not as_json and asked == Selection()
    with existing_index(settings, config) as index:
        if history is not None:
            rows = history_of(Work(index), history)
        elif few and level is ListLevel.SERIES:
            rows = Listing(index).series_of(_for_people(index, asked))
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
            f"these are the newest of {totals[counted]} {counted}; --json lists all, "
            "--limit more, and --state, --study or --since what fits",
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


def _series(
    record: SeriesRecord, settings: Settings, by: str, shares: list[dict[str, Any]]
) -> dict[str, Any]:
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
        "address": record.address,
        "shares": shares,
    }
