"""`retry`, `force` and `hold`: what a person can do about one series."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from node.cli.context import ConfigOption, existing_index
from node.cli.output.terminal import say
from node.cli.series.series_uid import SeriesArgument
from node.core.errors import NodeError
from node.core.settings.file import load_settings
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.operator_actions import OperatorActions
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.series.work import Work


def retry(series_uid: SeriesArgument, config: ConfigOption = None) -> None:
    """Assemble a series again.

    A held series is checked again, and deliveries that were given up are tried again.
    """
    with _operator_actions(config) as actions:
        done = actions.retry(series_uid)
    say(f"{series_uid}: {done}")


def force(series_uid: SeriesArgument, config: ConfigOption = None) -> None:
    """Assemble an incomplete series as it stands."""
    with _operator_actions(config) as actions:
        done = actions.force(series_uid)
    say(f"{series_uid}: {done}")


def hold(
    series_uid: SeriesArgument,
    config: ConfigOption = None,
    release: Annotated[
        bool, typer.Option("--release", help="Release the series: it may be assembled again.")
    ] = False,
) -> None:
    """Keep a series from being assembled.

    The hold lasts until it is released with --release, even if further instances arrive.
    """
    with _operator_actions(config) as actions:
        done = actions.release(series_uid) if release else actions.hold(series_uid)
    say(f"{series_uid}: {done}")


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
        raise NodeError("the system has no name for this user; set LOGNAME to a name") from error
