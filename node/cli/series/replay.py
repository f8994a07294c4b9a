"""`replay`: how other completion settings would have treated recorded arrivals."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.tables import Console, Table
from node.cli.output.terminal import say_exactly
from node.cli.series.filters import MOST_ROWS
from node.completion.decision import Timing
from node.completion.silences import Gap, Percentiles, learned_quiet
from node.core.settings.file import load_settings
from node.core.settings.model import Completion
from node.lifecycle.replay import Comparison, Replayer
from node.storage.index.peers.statements import Statements
from node.storage.index.series.recorded_arrivals import Recordings
from node.storage.index.series.work import Work

_USUAL = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_MOST_NAMED = 10


def replay(
    quiet: Annotated[
        list[float] | None,
        typer.Option("--quiet", min=0, help="Try this completion.quiet_seconds. May be repeated."),
    ] = None,
    open_quiet: Annotated[
        float | None,
        typer.Option("--open-quiet", min=0, help="Try this completion.open_quiet_seconds."),
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--sender", help="Use only series from this calling AE title.")
    ] = None,
    days: Annotated[
        float, typer.Option("--days", help="Use only series of the last DAYS days.")
    ] = 30.0,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST_ROWS, help="Use at most this many series.")
    ] = 500,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try other completion settings on recorded arrivals.

    Shows for each setting which series it would have cut short, and how long the others would have
    waited. Nothing is changed.
    """
    settings = load_settings(config)
    base = _base(settings.completion, open_quiet)
    timings = [replace(base, quiet=seconds) for seconds in quiet or _tried(base)]
    with existing_index(settings, config) as index:
        recordings = Recordings(index)
        replayer = Replayer(Work(index), recordings, Statements(index))
        found = replayer.compare(timings, sender, time.time() - days * 86400, limit)
        learned = {
            ae: known
            for (ae, kind), known in recordings.learned().items()
            if kind is Gap.RELEASED and sender in {None, ae}
        }
    if as_json:
        say_exactly(json.dumps(_as_json(found, learned, base), indent=1))
    else:
        _show(found, learned, base)


def _base(completion: Completion, open_quiet: float | None) -> Timing:
    quiet = completion.quiet_seconds
    return Timing(
        quiet=Timing().quiet if isinstance(quiet, str) else quiet,
        open_quiet=completion.open_quiet_seconds if open_quiet is None else open_quiet,
        incomplete=completion.incomplete,
    )


def _tried(base: Timing) -> list[float]:
    return sorted({*_USUAL, base.quiet})


def _show(found: list[Comparison], learned: dict[str, Percentiles], base: Timing) -> None:
    console = Console()
    series = len(found[0].outcomes) if found else 0
    console.print(f"{series} series, open_quiet_seconds {base.open_quiet:g}", highlight=False)
    table = Table("quiet_seconds", "cut short", "median delay", "longest delay")
    for one in found:
        table.add_row(
            f"{one.timing.quiet:g}",
            str(len(one.cut)),
            f"{one.median_delay:.1f} s",
            f"{one.longest_delay:.1f} s",
        )
    console.print(table)
    for one in found:
        for uid in one.cut[:_MOST_NAMED]:
            console.print(f"{one.timing.quiet:g} s would have cut short {uid}", highlight=False)
    for ae, known in sorted(learned.items()):
        quiet = learned_quiet(known, base.quiet)
        console.print(
            f"{ae}: in {known.samples} series, 99 % of the pauses after a release lasted at most "
            f"{known.p99:.1f} s: learned quiet_seconds {quiet:.1f}",
            highlight=False,
        )


def _as_json(
    found: list[Comparison], learned: dict[str, Percentiles], base: Timing
) -> dict[str, Any]:
    return {
        "settings": [
            {
                "quiet_seconds": one.timing.quiet,
                "open_quiet_seconds": one.timing.open_quiet,
                "series": len(one.outcomes),
                "cut_short": list(one.cut),
                "median_delay_seconds": one.median_delay,
                "longest_delay_seconds": one.longest_delay,
                "outcomes": [
                    {
                        "series_instance_uid": outcome.uid,
                        "decided_after_seconds": list(outcome.decided),
                        "cut_short": outcome.cut_short,
                        "delay_seconds": outcome.delay,
                        "action": str(outcome.action),
                    }
                    for outcome in one.outcomes
                ],
            }
            for one in found
        ],
        "learned": {
            ae: {**asdict(known), "quiet_seconds": learned_quiet(known, base.quiet)}
            for ae, known in learned.items()
        },
    }
