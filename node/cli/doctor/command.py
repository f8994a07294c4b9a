"""`doctor`: checks whether a node can run on this machine, and says what to do if not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

import node
from node.cli.archive.quarantine import left_in_quarantine
from node.cli.context import ConfigOption, JsonOption
from node.cli.doctor.deliveries import check_deliveries
from node.cli.doctor.finding import Finding, Grade
from node.cli.doctor.index import check_damage, check_database, conflicts, last_arrival
from node.cli.doctor.machine import (
    check_clock,
    check_codecs,
    check_disk,
    check_file_system,
    check_journal,
    check_open_files,
    check_storage,
)
from node.cli.doctor.peers import check_executor, check_passcodes, check_peers
from node.cli.doctor.ports import check_dicom, check_http
from node.cli.doctor.quarantine import check_quarantine
from node.cli.output.tables import Console, Table
from node.cli.output.terminal import say_exactly
from node.core.errors import NodeError
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage.run_file import running_node

_STYLES = {Grade.GOOD: "green", Grade.NOTE: "yellow", Grade.WRONG: "bold red"}


class Subject(StrEnum):
    """What `doctor` can check."""

    DICOM = "dicom"
    HTTP = "http"
    STORAGE = "storage"
    DATABASE = "database"
    DAMAGE = "damage"
    CLOCK = "clock"
    PEERS = "peers"
    DELIVERIES = "deliveries"
    EXECUTOR = "executor"
    PROGRAM = "program"


def doctor(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    only: Annotated[
        list[Subject] | None, typer.Option("--only", help="Check only this. May be repeated.")
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Expect a running node: a free port is an error.")
    ] = False,
) -> None:
    """Check this machine and say what to correct.

    Checks ports, disk, database, clock, peers (by C-ECHO), deliveries and codecs. A node may run
    meanwhile.
    """
    settings = load_settings(config)
    findings = list(diagnose(settings, only or list(Subject), running=running))
    if as_json:
        say_exactly(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _show(findings)
    wrong = sum(finding.grade is Grade.WRONG for finding in findings)
    if wrong:
        raise NodeError(f"{wrong} of {len(findings)} checks found an error")


def diagnose(
    settings: Settings, subjects: Iterable[Subject], *, running: bool
) -> Iterator[Finding]:
    """Check each subject in turn.

    Args:
        settings: of the node.
        subjects: what to check.
        running: whether a node has to be running.
    """
    root = settings.storage.root
    own = running_node(root)
    sqlite = settings.database_url().startswith("sqlite")
    looks: dict[Subject, Callable[[], Iterable[Finding]]] = {
        Subject.DICOM: lambda: [
            check_dicom(settings.dicom, own, running=running),
            *check_passcodes(settings.dicom.identity),
        ],
        Subject.HTTP: lambda: [check_http(settings.http.host, settings.http.port, own)],
        Subject.STORAGE: lambda: [
            *check_storage(root),
            check_file_system(root, _mounts(), sqlite=sqlite),
            check_disk(root, settings.storage.minimum_free),
            check_quarantine(left_in_quarantine(settings), settings.storage),
            check_journal(root),
        ],
        Subject.DATABASE: lambda: [check_database(settings), *conflicts(settings)],
        Subject.DAMAGE: lambda: [check_damage(settings)],
        Subject.CLOCK: lambda: [check_clock(time.time(), _installed(), last_arrival(settings))],
        Subject.PEERS: lambda: check_peers(settings.dicom),
        Subject.DELIVERIES: lambda: check_deliveries(settings.deliver, own),
        Subject.EXECUTOR: lambda: check_executor(settings.assembly, root),
        Subject.PROGRAM: lambda: [
            check_codecs(),
            check_open_files(settings.dicom.max_associations),
        ],
    }
    for subject in subjects:
        yield from looks[subject]()


def _installed() -> float:
    return Path(node.__file__).stat().st_mtime


def _mounts() -> str:
    mounts = Path("/proc/mounts")
    return mounts.read_text(encoding="utf-8", errors="replace") if mounts.exists() else ""


def _show(findings: Sequence[Finding]) -> None:
    table = Table("check", "", "found", "what to do")
    for finding in findings:
        table.add_row(
            finding.check,
            Text(finding.grade, style=_STYLES[finding.grade]),
            Text(finding.found),
            Text(finding.advice),
        )
    Console().print(table)
