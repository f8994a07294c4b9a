"""`retry`, `force`, `hold`, `rules`: what a person does about one series."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_exactly
from node.core.errors import NodeError
from node.core.events import EventType, NewDelivery, SeriesEvent
from node.core.records import SeriesState
from node.core.settings.file import load_settings
from node.deliver.rules import Rules
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.operator_actions import NoSuchSeries, OperatorActions
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.series.work import Work

SeriesArgument = Annotated[
    str, typer.Argument(metavar="SERIES_UID", help="Its Series Instance UID.")
]


def retry(series_uid: SeriesArgument, config: ConfigOption = None) -> None:
    """Assemble a series again; what is held is judged anew, dead deliveries are tried again."""
    with _operator_actions(config) as people:
        done = people.retry(series_uid)
    say(f"{series_uid}: {done}")


def force(series_uid: SeriesArgument, config: ConfigOption = None) -> None:
    """Assemble an incomplete series as it stands."""
    with _operator_actions(config) as people:
        done = people.force(series_uid)
    say(f"{series_uid}: {done}")


def hold(
    series_uid: SeriesArgument,
    config: ConfigOption = None,
    release: Annotated[bool, typer.Option("--release", help="Let it go again.")] = False,
) -> None:
    """Keep a series from being assembled, whatever comes, until it is let go."""
    with _operator_actions(config) as people:
        done = people.release(series_uid) if release else people.hold(series_uid)
    say(f"{series_uid}: {done}")


def rules(
    series: Annotated[str, typer.Option("--series", metavar="SERIES_UID", help="Try it on this.")],
    event: Annotated[
        EventType, typer.Option("--event", help="As if this had happened to it.")
    ] = EventType.READY,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which entries of `deliver:` would be told of a series, and why others would not."""
    settings = load_settings(config)
    with existing_index(settings, config) as index:
        news = _news(Work(index), series, event)
    tried = Rules(settings.deliver, settings.storage.root / "nifti").refusals(news)
    if as_json:
        say_exactly(json.dumps([{"name": name, "why_not": why} for name, why in tried.items()]))
    elif not tried:
        say("deliver: has no entries")
    else:
        for name, why in tried.items():
            say(f"{name}: {f'no: {why}' if why else 'yes'}")


def _news(work: Work, uid: str, event: EventType) -> SeriesEvent:
    record = work.series(uid)
    if record is None:
        raise NoSuchSeries(f"there is no series {uid}; `rasnode status` lists those there are")
    heard: list[SeriesEvent] = []

    def listen(news: SeriesEvent) -> list[NewDelivery]:
        heard.append(news)
        return []

    state = SeriesState.READY if event is EventType.SUPERSEDED else SeriesState(str(event))
    EventPublisher(work, listen).deliveries_for(
        record, event, state, record.verdict or {}, time.time()
    )
    return heard[0]


@contextmanager
def _operator_actions(config: ConfigOption) -> Iterator[OperatorActions]:
    with existing_index(load_settings(config), config) as index:
        work = Work(index)
        yield OperatorActions(
            work,
            Outbox(index),
            EvidenceLoader(work, Statements(index)),
            person=_person(),
            clock=time.time,
        )


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:  # a container's user may have no name
        raise NodeError("the system does not know who you are; set LOGNAME") from error
