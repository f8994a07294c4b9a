"""`rules`: which deliveries apply to a series, which rule names its volumes, and why."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_exactly
from node.cli.series.output_rules import as_fields, list_unmatched, sentences, volumes_by_rules
from node.cli.series.series_uid import complete_series_uid
from node.core.errors import ConfigError
from node.core.events import EventType, NewDelivery, SeriesEvent, StudyEvent
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.core.settings.file import load_settings
from node.core.settings.peer_names import names_of_peers
from node.deliver.rules import Rules
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.operator_actions import NoSuchSeries
from node.lifecycle.series_origins import SeriesOrigins
from node.lifecycle.studies.study_watcher import study_event, told_of
from node.storage.index.series.work import Work
from node.storage.index.studies.studies import Studies


def rules(
    series: Annotated[
        str | None,
        typer.Option(
            "--series",
            metavar="SERIES_UID",
            help="The series to try the rules on.",
            autocompletion=complete_series_uid,
        ),
    ] = None,
    unmatched: Annotated[
        bool,
        typer.Option("--unmatched", help="List the series that no rule of output.rules matches."),
    ] = False,
    event: Annotated[
        EventType, typer.Option("--event", help="The event that is assumed for the series.")
    ] = EventType.READY,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which deliveries apply to a series, and which rule names each of its volumes.

    Prints each entry of `deliver:` with yes, or with no and the reason, and for each volume the
    rule of `output.rules` that it matches and its name. Nothing is delivered or made.
    """
    settings = load_settings(config)
    if (series is None) is not unmatched:
        raise ConfigError("give either --series SERIES_UID or --unmatched")
    if series is None:
        list_unmatched(settings, config, as_json=as_json)
        return
    rules_of = Rules(settings.deliver, settings.storage.root / "nifti")
    with existing_index(settings, config) as index:
        work = Work(index)
        origins = SeriesOrigins(work, partial(names_of_peers, settings.dicom.peers))
        if event is EventType.STUDY_READY:
            assumed_of_study = _study_event(Studies(index), work, origins, series)
            tried = rules_of.refusals_of_study(assumed_of_study)
        else:
            tried = rules_of.refusals(_event(work, origins, series, event))
        named = volumes_by_rules(settings, index, _found(work, series))
    if as_json:
        found = [{"name": name, "why_not": why} for name, why in tried.items()]
        say_exactly(json.dumps([*found, *map(as_fields, named)]))
        return
    if not tried:
        say("the configuration has no entries in deliver:")
    else:
        for name, why in tried.items():
            say(f"{name}: {f'no: {why}' if why else 'yes'}")
    for volume in named:
        for line in sentences(volume):
            say(line)


def _event(work: Work, origins: SeriesOrigins, uid: str, event: EventType) -> SeriesEvent:
    """The event as the node would publish it for the series in its present state.

    Raises:
        NoSuchSeries: the index has no series of this UID.
    """
    record = _found(work, uid)
    published: list[SeriesEvent] = []

    def publish(found: SeriesEvent) -> list[NewDelivery]:
        published.append(found)
        return []

    published_events = (EventType.SUPERSEDED, EventType.PROTOCOL_DRIFT)
    state = SeriesState.READY if event in published_events else SeriesState(str(event))
    EventPublisher(origins, publish).deliveries_for(
        record, event, state, record.verdict or {}, time.time()
    )
    return published[0]


def _study_event(studies: Studies, work: Work, origins: SeriesOrigins, uid: str) -> StudyEvent:
    """The event of the study of a series, as if the study were ready now.

    Raises:
        NoSuchSeries: the index has no series of this UID.
    """
    record = _found(work, uid)
    study = next(
        one
        for one in studies.with_uid(record.study_uid)
        if record.address in {series.address for series in one.situation.series}
    )
    now = time.time()
    verdict = study.verdict or {"verdict": str(Verdict.UNKNOWN), "reasons": []}
    told = told_of(study, verdict)
    return study_event(work, origins, study, told, EventType.STUDY_READY, now)


def _found(work: Work, uid: str) -> SeriesRecord:
    record = work.series(uid)
    if record is None:
        raise NoSuchSeries(f"there is no series {uid}; `rasnode status` lists the series")
    return record
