"""`rules`: which deliveries apply to a series, which rule names its volumes, and why."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.terminal import say, say_exactly
from node.cli.series.output_rules import as_fields, list_unmatched, sentences, volumes_by_rules
from node.cli.series.series_uid import complete_series_uid
from node.core.errors import ConfigError
from node.core.events import EventType
from node.core.settings.file import load_settings
from node.core.settings.peer_names import names_of_peers
from node.deliver.rules import Rules
from node.lifecycle.assumed_events import AssumedEvents
from node.storage.index.series.work import Work


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
    """Show which rules and deliveries apply to a series.

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
        assumed = AssumedEvents(index, partial(names_of_peers, settings.dicom.peers))
        tried = assumed.refusals(rules_of, series, event)
        record = Work(index).series(series)
        assert record is not None  # noqa: S101  it was found just now
        named = volumes_by_rules(settings, index, record)
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
