"""`rasnode pulls`: the jobs, one of them in full, and what is wanted of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.fetching.report import write_report
from node.cli.output.terminal import say, say_columns, say_exactly
from node.core.errors import ConfigError
from node.core.pulls import ItemState, Order, PullJob
from node.core.settings.file import load_settings
from node.storage.index.peers.pulls import Pulls
from node.storage.index.peers.pulls_described import described
from node.storage.root_lock import is_serving

_MOST_SHOWN = 200  # rows that are not complete


def pulls(
    name: Annotated[str | None, typer.Argument(metavar="JOB", help="One job in full.")] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Begin nothing more for now.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after --pause.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Fetch nothing more.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what is not complete.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write what became of each row.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List, pause, resume, cancel or retry pull jobs."""
    settings = load_settings(config)
    chosen = [
        order
        for order, wanted in (
            (Order.PAUSE, pause),
            (Order.RESUME, resume),
            (Order.CANCEL, cancel),
            (Order.RETRY, retry),
        )
        if wanted
    ]
    if len(chosen) > 1:
        raise ConfigError("say one of --pause, --resume, --cancel and --retry")
    order = chosen[0] if chosen else None
    if name is None and (order is not None or report is not None):
        raise ConfigError("name the job: `rasnode pulls` lists all")
    with existing_index(settings, config) as index:
        known = Pulls(index)
        jobs = known.jobs(name)
        if order is not None and name is not None:
            known.order(name, order)
            waits = "" if is_serving(settings.storage.root) else " when it is started: none runs"
            say(f"{order}: the node does it{waits}")
            return
        if report is not None:
            write_report(report, known, jobs[0])
            return
        if as_json:
            found = [described(known, job) for job in jobs]
            say_exactly(json.dumps(found if name is None else found[0], indent=1))
        elif name is None:
            _list(known, jobs)
        else:
            _show(known, jobs[0])


def _list(known: Pulls, jobs: Sequence[PullJob]) -> None:
    if not jobs:
        say("no job: `rasnode pull PEER KEY=VALUE` makes one")
    for job in jobs:
        counts = known.counts(job)
        expected, received = known.progress(job)
        complete = f"{counts.get(ItemState.COMPLETE, 0)} of {sum(counts.values())} complete"
        say_columns(
            [job.name, job.peer, job.state, complete, f"{received} of {expected}", job.reason]
        )


def _show(known: Pulls, job: PullJob) -> None:
    _list(known, [job])
    studies = known.studies(job)
    left = [item for item in known.items(job) if item.state is not ItemState.COMPLETE]
    for item in left[:_MOST_SHOWN]:
        asked = " ".join(f"{key}={value}" for key, value in item.query.items())
        say_columns([f"row {item.row}", item.state, asked, item.reason])
        for study in studies.get(item.pk, []):
            if study.state is not ItemState.COMPLETE:
                say(f"  {study.uid}: {study.received} of {study.expected}; {study.reason}")
    if len(left) > _MOST_SHOWN:
        say(f"and {len(left) - _MOST_SHOWN} more; --report FILE.csv has all")
