"""`rules`: which deliveries apply to a series, and why the others do not."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_exactly
from node.cli.series.series_uid import complete_series_uid
from node.core.events import EventType
from node.core.settings.file import load_settings
from node.deliver.rules import Rules
from node.lifecycle.assumed_events import assumed_event
from node.storage.index.series.work import Work


def rules(
    series: Annotated[
        str,
        typer.Option(
            "--series",
            metavar="SERIES_UID",
            help="The series to try the rules on.",
            autocompletion=complete_series_uid,
        ),
    ],
    event: Annotated[
        EventType, typer.Option("--event", help="The event that is assumed for the series.")
    ] = EventType.READY,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which deliveries apply to a series.

    Prints each entry of `deliver:` with yes, or with no and the reason. Nothing is delivered.
    """
    settings = load_settings(config)
    with existing_index(settings, config) as index:
        assumed = assumed_event(Work(index), series, event)
    tried = Rules(settings.deliver, settings.storage.root / "nifti").refusals(assumed)
    if as_json:
        say_exactly(json.dumps([{"name": name, "why_not": why} for name, why in tried.items()]))
    elif not tried:
        say("the configuration has no entries in deliver:")
    else:
        for name, why in tried.items():
            say(f"{name}: {f'no: {why}' if why else 'yes'}")
