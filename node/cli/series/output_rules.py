"""What `rules` shows of `output.rules`: the rule and the name of each volume."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from node.cli.context import existing_index
from node.cli.output.terminal import say, say_exactly
from node.core.errors import ConfigError
from node.core.records import SeriesRecord
from node.core.settings.model import Settings
from node.core.settings.peer_names import names_of_peers
from node.daemon.from_settings import output_options
from node.lifecycle.assembly.dataset_tables import DatasetTables
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.rule_trial import RuleTrial, TriedVolume
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.series_origins import SeriesOrigins
from node.storage.index.engine import Index
from node.storage.index.series.siblings import Siblings
from node.storage.index.series.work import Work


def volumes_by_rules(settings: Settings, index: Index, series: SeriesRecord) -> list[TriedVolume]:
    """Return what the rules say of each volume of a series; empty without rules.

    Args:
        settings: of the node.
        index: its index.
        series: the series.
    """
    return _trial(settings, index).volumes(series) if settings.output.rules else []


def list_unmatched(settings: Settings, config: Path | None, *, as_json: bool) -> None:
    """Print the series of which no rule matches some volume.

    Args:
        settings: of the node.
        config: the value of `--config`.
        as_json: as JSON, for scripts.

    Raises:
        ConfigError: there are no rules.
    """
    if not settings.output.rules:
        raise ConfigError("the configuration has no output.rules: output.name names every volume")
    found: list[dict[str, Any]] = []
    with existing_index(settings, config) as index:
        for series, volume in _trial(settings, index).unmatched():
            about = {"series": series.address, "description": series.description}
            found.append(about | as_fields(volume))
    if as_json:
        say_exactly(json.dumps(found))
    elif not found:
        say("a rule of output.rules matches every volume")
    for one in [] if as_json else found:
        say(f"{one['series']}  {one['description'] or '(no description)'}: {one['name']}")


def as_fields(volume: TriedVolume) -> dict[str, Any]:
    """Return what the rules say of a volume, for JSON."""
    return {
        "volume": volume.name or None,
        "name": volume.name or None,
        "rule": volume.rule or None,
        "shape": list(volume.shape),
        "why_not": {str(n): why for n, why in enumerate(volume.mismatches, 1)},
    }


def sentences(volume: TriedVolume) -> list[str]:
    """Return what the rules say of a volume, line by line."""
    size = " × ".join(map(str, volume.shape))
    by = f"rule {volume.rule} of output.rules" if volume.rule else "output.name, as no rule matches"
    made = f"named {volume.name}" if volume.name else "no volume is made"
    lines = [f"volume of {size}: {made} ({by})"]
    return lines + [f"  rule {n}: no: {why}" for n, why in enumerate(volume.mismatches, 1)]


def _trial(settings: Settings, index: Index) -> RuleTrial:
    work = Work(index)
    root = settings.storage.root
    dates = settings.output.identifiers
    ruled = RuledNames(
        work,
        Siblings(index),
        SeriesOrigins(work, partial(names_of_peers, settings.dicom.peers)),
        DatasetTables(OutputFolder(root / "nifti"), dates=dates),
        [one.rule() for one in settings.output.rules],
        settings.output.name,
        dates=dates,
    )
    options = output_options(settings.output, settings.assembly)
    return RuleTrial(work, ruled, root / "archive", options)
