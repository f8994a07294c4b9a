"""`status`: the series, and how much of everything the node holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from node.cli.archive.quarantine import kept, lines
from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say_exactly
from node.cli.series.filters import (
    MOST_UNREADY,
    LimitOption,
    SinceOption,
    StateOption,
    StudyOption,
    selection,
    shown_series,
)
from node.cli.series.formatting import damage_warnings, deliveries, delivery_warnings, why
from node.cli.series.status_table import Overview, show
from node.cli.series.study_status import show_studies
from node.core.records import SeriesRecord
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.search.listing import Listing
from node.storage.index.search.selection import Selection, Selector
from node.storage.index.series.damages import Damages
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.work import Work


class StatusLevel(StrEnum):
    """What is shown."""

    SERIES = "series"
    STUDY = "study"


def status(
    state: StateOption = None,
    study: StudyOption = None,
    since: SinceOption = None,
    limit: LimitOption = None,
    level: Annotated[
        StatusLevel, typer.Option("--level", help="Show series, or studies with their series.")
    ] = StatusLevel.SERIES,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the series, their states and the free disk space.

    Without options it shows the series that are not ready and the newest 50. --json prints all
    series. --level study shows the newest 50 studies, or those that --study and --limit choose.
    """
    settings = load_settings(config)
    if level is StatusLevel.STUDY:
        if state or since is not None:
            raise typer.BadParameter("--level study goes with --study and --limit only")
        with existing_index(settings, config) as index:
            show_studies(index, settings, study, limit, as_json=as_json)
        return
    asked = selection(state, study, since, limit)
    with existing_index(settings, config) as index:
        listing = Listing(index)
        parts = Selector(index).series(asked) if as_json else shown_series(index, asked)
        series = _described(index, settings, parts)
        free = shutil.disk_usage(settings.storage.root).free
        damaged = Damages(index)
        warnings = [*delivery_warnings(settings.storage.root), *damage_warnings(damaged)]
        disk = {"free": free, "minimum_free": settings.storage.minimum_free}
        beside = kept(settings, index)
        if as_json:
            _say_series(series)
            outbox = deliveries(Outbox(index))
            say_exactly(f' "totals": {json.dumps(listing.totals())},')
            say_exactly(f' "disk": {json.dumps(disk)},')
            say_exactly(f' "kept": {json.dumps(beside.as_dict())},')
            say_exactly(f' "deliveries": {json.dumps(outbox)},')
            say_exactly(f' "damaged": {json.dumps(damaged.count())},')
            say_exactly(f' "warnings": {json.dumps(warnings)}\n}}')
            return
        shown = list(series)
        totals, outbox = listing.totals(), deliveries(Outbox(index))
    cut = asked.is_filter and asked.limit is None and len(shown) == MOST_UNREADY
    show(
        Overview(shown, totals, free, outbox, [*lines(beside), *warnings]),
        everything=asked == Selection(),
        cut=cut,
    )


def _say_series(series: Iterable[dict[str, Any]]) -> None:
    """The first part of one JSON object, a series a line, as they are read."""
    say_exactly('{\n "series": [', nl=False)
    for number, row in enumerate(series):
        say_exactly(f"{',' if number else ''}\n  {json.dumps(row)}", nl=False)
    say_exactly("\n ],")


def _described(
    index: Index, settings: Settings, parts: Iterable[list[int]]
) -> Iterator[dict[str, Any]]:
    listing, work, namesakes = Listing(index), Work(index), Namesakes(index)
    for part in parts:
        actors, shares = listing.last_words(part), namesakes.of(part)
        for record in work.of(part):
            sharing = [one.as_dict() for one in shares.get(record.pk, ())]
            yield _series(record, settings, actors.get(record.pk, ""), sharing)


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
