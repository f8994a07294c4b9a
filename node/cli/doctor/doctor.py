"""`doctor`: looks whether a node can run here and do its work, and says what to do if not."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.text import Text

import node
from node.cli.context import ConfigOption, JsonOption
from node.cli.doctor.deliveries import check_deliveries
from node.cli.doctor.findings import (
    UNSEEN_ADVICE,
    UNSEEN_SENTENCE,
    Finding,
    Grade,
    check_clock,
    check_codecs,
    check_disk,
    check_file_system,
    check_http,
    check_journal,
    check_open_files,
    check_storage,
    holder_of,
    listen,
    port_finding,
)
from node.cli.output.tables import Console, Table
from node.cli.output.terminal import say_exactly
from node.cli.quarantine import check_conflicts, check_quarantine, left_in_quarantine
from node.core.errors import NodeError
from node.core.settings.file import load_settings
from node.core.settings.model import AssemblySettings, Dicom, Identity, PeerSettings, Settings
from node.core.settings.passcodes import outdated_users
from node.dimse.scu.requests import PeerSilent, echo, own_port, peer
from node.lifecycle.cluster import address_of, look_round
from node.lifecycle.verification.loop import NAME as VERIFICATION
from node.storage import index_completeness
from node.storage.identity import FILE, identity_of, refuse_foreign
from node.storage.index.engine import Index
from node.storage.index.inspection import check_writable, migration_level
from node.storage.index.search.latest import Latest
from node.storage.index.series.conflicts import Conflicts
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Inventory
from node.storage.run_file import UNSEEN, RunState, running_node

Answer = TypeVar("Answer")

_PEER_SECONDS = 10.0
_NAMED = 3  # damaged files
_STYLES = {Grade.GOOD: "green", Grade.NOTE: "yellow", Grade.WRONG: "bold red"}


class Subject(StrEnum):
    """What `doctor` can look at."""

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
        list[Subject] | None, typer.Option("--only", help="Look at this alone; may be repeated.")
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="A node has to be running: a free port is wrong.")
    ] = False,
) -> None:
    """Check ports, disk, database, clock, peers, deliveries and codecs, and say what to do."""
    settings = load_settings(config)
    findings = list(diagnose(settings, only or list(Subject), running=running))
    if as_json:
        say_exactly(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _show(findings)
    wrong = sum(finding.grade is Grade.WRONG for finding in findings)
    if wrong:
        raise NodeError(f"{wrong} of {len(findings)} checks found something wrong")


def diagnose(
    settings: Settings, subjects: Iterable[Subject], *, running: bool
) -> Iterator[Finding]:
    """Look at each subject in turn."""
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
        Subject.DATABASE: lambda: [check_database(settings), *_conflicts(settings)],
        Subject.DAMAGE: lambda: [check_damage(settings)],
        Subject.CLOCK: lambda: [check_clock(time.time(), _installed(), _last_arrival(settings))],
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


def check_dicom(dicom: Dicom, own: RunState | None = None, *, running: bool) -> Finding:
    """The DICOM port: free, or our own node answers C-ECHO on it.

    Args:
        own: the node that runs with this configuration, if one does.
        running: whether one has to.
    """
    address = f"{dicom.host}:{dicom.port}"
    error = listen(dicom.host, dicom.port) if dicom.port else None
    if error is None:
        if running:
            return Finding(
                "dicom",
                Grade.WRONG,
                f"nothing listens on {address}",
                "start the node: rasnode serve, or systemctl start rasnode",
            )
        return Finding("dicom", Grade.GOOD, f"{address} is free")
    if error.errno != errno.EADDRINUSE:
        return port_finding("dicom", address, "dicom.port", error)
    ours = own is not None and own.dicom_port == dicom.port
    holder = "this node" if ours else holder_of(dicom.port)
    try:
        echo(own_port(dicom, dicom.port))
    except PeerSilent as silence:
        said = f"{holder} listens on {address} and does not answer: {silence}"
    else:
        if ours:
            return Finding("dicom", Grade.GOOD, f"this node answers C-ECHO on {address}")
        if own is UNSEEN:
            said = f"a node answers C-ECHO on {address}; {UNSEEN_SENTENCE}"
            return Finding("dicom", Grade.NOTE, said, UNSEEN_ADVICE)
        said = f"another node ({holder}) answers C-ECHO on {address}"
    return Finding(
        "dicom",
        Grade.WRONG,
        said,
        "its log says why; restart it"
        if ours
        else f"stop it (ss -ltnp 'sport = :{dicom.port}' shows it), or set dicom.port",
    )


def check_passcodes(identity: Identity | None) -> list[Finding]:
    """Are all passcodes kept in a form that takes long to guess."""
    said = "" if identity is None else outdated_users(identity.users)
    if not said:
        return []
    found, _, advice = said.partition(": ")
    return [Finding("passcodes", Grade.NOTE, found, advice)]


def check_database(settings: Settings) -> Finding:
    """Is the index there, writable, and of this program's form."""
    try:
        if settings.database.url is None and not (settings.storage.root / "index.db").exists():
            index_completeness.refuse_lost(settings.storage.root)
            return Finding("database", Grade.GOOD, "no index yet; the first start makes it")
        index = Index(settings.database_url())
        try:
            refuse_foreign(index, settings.storage.root)
            index_completeness.check(index, settings.storage.root)
            level = migration_level(index)
            check_writable(index)
        finally:
            index.close()
    except (NodeError, ImportError) as error:
        return Finding(
            "database",
            Grade.WRONG,
            str(error),
            "check database.url, the server and its rights"
            if settings.database.url
            else "check the rights of index.db; rasnode reindex rebuilds it from the archive",
        )
    if not level.known:
        return Finding(
            "database",
            Grade.WRONG,
            f"the index was made by a newer rasnode (migration {level.current})",
            "install that version again, or rebuild the index with rasnode reindex",
        )
    if level.current != level.newest:
        if level.current is None:
            return Finding("database", Grade.GOOD, "empty; the first start makes the tables")
        copy = "back the database up" if settings.database.url else "copy index.db away"
        return Finding(
            "database",
            Grade.NOTE,
            f"the index is at migration {level.current}, this version's is {level.newest}",
            f"the next start brings it there; {copy} before",
        )
    return Finding("database", Grade.GOOD, f"can be written, migration {level.current}")


def check_damage(settings: Settings) -> Finding:
    """Is anything known to be damaged."""
    try:
        with _known_index(settings) as index:
            damages = Damages(index) if index is not None else None
            count = sum(damages.count().values()) if damages else 0
            named = "; ".join(str(one) for one in damages.all(_NAMED)) if damages else ""
            ended = Inventory(index).progress(VERIFICATION).ended_at if index is not None else None
    except (NodeError, ImportError):
        return Finding("damage", Grade.NOTE, "not known: see database")
    if count:
        found = f"{count} files are damaged or lost: {named}"
        return Finding("damage", Grade.WRONG, found, "rasnode verify names all and looks again")
    when = "" if ended is None else time.strftime("; all compared by %Y-%m-%d", time.gmtime(ended))
    return Finding("damage", Grade.GOOD, f"no file is known to be damaged{when}")


def check_peers(dicom: Dicom) -> list[Finding]:
    """Does each configured peer answer C-ECHO."""
    if not dicom.peers:
        return [Finding("peers", Grade.GOOD, "none configured")]
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda each: _check_peer(dicom, each), dicom.peers))


def _check_peer(dicom: Dicom, settings: PeerSettings) -> Finding:
    name = f"peer {settings.name}"
    try:
        echo(peer(dicom, settings, _PEER_SECONDS))
    except PeerSilent as silence:
        return Finding(
            name,
            Grade.WRONG,
            str(silence),
            f"is it running, reachable, and does it know {dicom.ae_title} as a calling AE title?",
        )
    return Finding(name, Grade.GOOD, f"{settings.ae_title} answers C-ECHO")


def check_executor(assembly: AssemblySettings, root: Path) -> list[Finding]:
    """The dask cluster: does it answer, has it workers, do they see the archive."""
    if assembly.executor == "local":
        return []
    try:
        address = address_of(assembly.executor, assembly.tls)
        look = look_round(address, assembly.tls, root.absolute(), FILE, identity_of(root))
    except NodeError as error:
        return [Finding("executor", Grade.WRONG, str(error), "see docs/postgresql-and-dask.md")]
    if look.fault is not None:
        advice = "start scheduler and workers, or set assembly.executor: local"
        return [Finding("executor", Grade.WRONG, look.fault, advice)]
    count, threads = len(look.workers), sum(look.workers.values())
    works = Finding("executor", Grade.GOOD, f"{count} dask workers with {threads} threads")
    return [works, *(_blind(worker, root) for worker in look.blind)]


def _blind(worker: str, root: Path) -> Finding:
    return Finding(
        "executor",
        Grade.WRONG,
        f"archive-not-seen: worker {worker} does not see storage.root at {root.absolute()}",
        "mount it there, under the same path, readable and writable for the worker's user",
    )


def _last_arrival(settings: Settings) -> float | None:
    return _asked(settings, lambda index: Latest(index).last_arrival())


def _conflicts(settings: Settings) -> list[Finding]:
    found = _asked(settings, lambda index: Conflicts(index).left())
    return [] if found is None else [check_conflicts(found, settings.storage)]


def _asked(settings: Settings, ask: Callable[[Index], Answer]) -> Answer | None:
    """What the index says, if it is there and of this program's form."""
    try:
        with _known_index(settings) as index:
            return None if index is None else ask(index)
    except (NodeError, ImportError):
        return None  # what is wrong with the database is said under its own name


@contextmanager
def _known_index(settings: Settings) -> Iterator[Index | None]:
    """The index, if it is there and of this program's form."""
    if settings.database.url is None and not (settings.storage.root / "index.db").exists():
        yield None
        return
    index = Index(settings.database_url())
    try:
        level = migration_level(index)
        yield index if level.current == level.newest else None
    finally:
        index.close()


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
