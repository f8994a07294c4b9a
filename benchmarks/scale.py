"""What the node does again and again, beside an archive of 10,000 series and one of 1,000,000.

Both indexes are made directly (SQLite, everything that is kept for a series, no files), and each
cost is measured at both by turns. Printed is the ratio of the medians, which should be at most 1.5:

    python -m benchmarks.scale --folder /tmp/scale [--small 10000] [--large 1000000] [--rounds 7]

What is in the folder is used again, as long as it has the size that is asked for.
"""

from __future__ import annotations

import argparse
import io
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from fastapi.testclient import TestClient

from node.cli.commands import build
from node.completion.decision import Timing
from node.convert import OutputOptions
from node.lifecycle.composition import make_completion_watcher
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.ingest.retention import RetentionJob
from node.web.app import create_app
from node.web.site import Site
from node.web.viewer.messages import Answered

TARGET = 1.5
QUICK_SECONDS = 0.3
LIVE = 20  # series under way, in both archives
INSTANCES = 2  # of each series
PER_STUDY, PER_PATIENT = 4, 8  # series
NOW = 2_000_000_000.0
YEAR = 365 * 86400.0

_NUMBERS = (
    "WITH RECURSIVE ten(d) AS (VALUES (0) UNION ALL SELECT d + 1 FROM ten WHERE d < 999),"
    " numbers(n) AS (SELECT a.d + 1000 * b.d + 1000000 * c.d + 1 FROM ten c, ten b, ten a"
    " WHERE a.d + 1000 * b.d + 1000000 * c.d < {count} LIMIT {count}) "
)
_TABLES = (
    ("patient", PER_PATIENT, "id, patient_id, issuer, name, name_key, name_alphabetic,"
     " name_ideographic, name_phonetic, birth_date, sex, attributes, studies, series, instances",
     "n, 'PID' || n, '', '', '', '', '', '', '', '', '{}', 2, 8, 16"),
    ("study", PER_STUDY, "id, uid, patient_pk, date, time, accession, study_id, description,"
     " referring, referring_key, modalities, sop_classes, attributes, series, instances",
     "n, '1.2.3.1.' || n, 1 + (n - 1) / 2, '20200101', '', 'A' || n, n, 'head', '', '', 'MR',"
     " '1.2.840.10008.5.1.4.1.1.4', '{}', 4, 8"),
    ("series", 1, "id, uid, study_pk, modality, number, description, body_part, date, time,"
     " attributes, instances, state, state_since, change, revision, first_arrival, last_arrival,"
     " owner, due, verdict, outputs, held_by",
     "n, '1.2.3.2.' || n, 1 + (n - 1) / 4, 'MR', n % 9, 't1', 'HEAD', '20200101', '', '{}', 2,"
     " CASE n % 50 WHEN 0 THEN 'not-a-volume' ELSE 'ready' END, {at}, 4, 1, {at}, {at}, '', NULL,"
     " '{\"verdict\": \"complete\", \"why\": \"\", \"reasons\": []}', '[\"a.nii.gz\"]', ''"),
    ("association", PER_STUDY, "id, calling_ae, called_ae, address, opened_at, ended_at, \"end\","
     " process", "n, 'CT' || n % 9, 'N', '10.0.0.1', {at}, {at} + 1, 'released', 'before'"),
    ("arrival", 1, "series_pk, association_pk, first_at, last_at, instances",
     "n, 1 + (n - 1) / 4, {at}, {at}, 2"),
    ("series_event", 1 / 3, "id, series_pk, at, actor, from_state, to_state, revision, detail",
     "n, 1 + (n - 1) / 3, {at}, 'assembler', 'assembling', 'ready', 1, '{}'"),
    ("delivery", 1, "id, key, series_pk, target, event, revision, payload, state, attempts, due,"
     " created_at, ended_at, error",
     "n, 'k' || n, n, 'hook', 'ready', 1, '{}', 'delivered', 1, NULL, {at}, {at}, ''"),
    ("statement", PER_STUDY, "series_uid, source, reference, peer, at, final",
     "'1.2.3.2.' || (4 * n), 'mpps', '1.2.3.4.' || n, 'CT', {at}, 1"),
    ("procedure_step", PER_STUDY, "uid, peer, state, created_at, updated_at, series",
     "'1.2.3.4.' || n, 'CT', 'COMPLETED', {at}, {at}, '{}'"),
    ("instance", 1 / INSTANCES, "id, uid, series_pk, sop_class_uid, transfer_syntax_uid, number,"
     " attributes, path, size, sha256, data_set_offset, received_at, association_pk",
     "n, '1.2.3.3.' || n, 1 + (n - 1) / 2, '1.2.840.10008.5.1.4.1.1.4', '1.2.840.10008.1.2.1', n,"
     " '{}', 'aa/1/2/' || n || '.dcm', 1000, 'a', 300, {at}, 1 + (n - 1) / 8"),
    ("instance_header", 1 / INSTANCES, "instance_pk, header", "n, x'00'"),
)  # fmt: skip
_LIVE = (
    f"UPDATE series SET state = 'receiving', due = {NOW + YEAR} WHERE id IN"  # noqa: S608
    f" (SELECT id FROM series ORDER BY id DESC LIMIT {LIVE})"
)
_TOTALS = (
    "DELETE FROM total",
    "INSERT INTO total SELECT 'patients', count(*) FROM patient",
    "INSERT INTO total SELECT 'studies', count(*) FROM study",
    "INSERT INTO total SELECT 'series', count(*) FROM series",
    "INSERT INTO total SELECT 'instances', count(*) FROM instance",
    "INSERT INTO total SELECT 'bytes', sum(size) FROM instance",
    "INSERT INTO total SELECT 'series_' || state, count(*) FROM series GROUP BY state",
    "INSERT INTO total SELECT 'deliveries_' || state, count(*) FROM delivery GROUP BY state",
)


class Idle:
    """An executor that is never given anything."""

    capacity = 2

    def warm_up(self) -> None:
        """Nothing to do."""

    def submit(self, job: Any) -> Any:
        """Never called: nothing is settled."""
        raise AssertionError(job)

    def kill(self, future: Any) -> None:
        """Nothing runs."""

    def stop(self) -> None:
        """Nothing runs."""


class Node(NamedTuple):
    """A storage root with a full index."""

    folder: Path
    index: Index
    costs: dict[str, Callable[[], object]]


def fill(folder: Path, series: int) -> str:
    """Make the index of an archive, if it is not there yet; returns its URL."""
    root = folder / "data"
    url = f"sqlite:///{root / 'index.db'}"
    done = folder / f"filled-{series}"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        root.mkdir(parents=True)
        index = Index(url)
        index.migrate()
        index.close()
        _insert(root / "index.db", series)
        done.touch()
    return url


def _insert(path: Path, series: int) -> None:
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        connection.execute("BEGIN")
        for table, share, columns, values in _TABLES:
            count = max(1, round(series / share))
            at = f"({NOW - 10 * YEAR} + {9 * YEAR} * n / {count})"
            numbers = _NUMBERS.format(count=count)
            connection.execute(
                f"{numbers} INSERT INTO {table} ({columns})"  # noqa: S608  constants above
                f" SELECT {values.replace('{at}', at)} FROM numbers"
            )
        for statement in (_LIVE, *_TOTALS):
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def opened(folder: Path, series: int) -> Node:
    """The node's parts on such an archive, and what they are asked to do."""
    index = Index(fill(folder, series), relaxed=True)
    root = folder / "data"
    archive = Archive(root)
    archive.prepare()
    config = folder / "config.yaml"
    port = _free_port()
    config.write_text(
        yaml.safe_dump(
            {
                "dicom": {"host": "127.0.0.1", "port": port},
                "storage": {"root": str(root), "minimum_free": "50 MiB"},
                "http": {"port": None},
            }
        )
    )
    watcher = make_completion_watcher(
        index,
        Idle(),  # type: ignore[arg-type]
        archive=archive.root,
        output=root / "nifti",
        template="{SeriesInstanceUID}",
        options=OutputOptions(),
        timing=lambda _titles: Timing(),
        owner="benchmark",
        clock=lambda: NOW,
    )
    watcher.prepare()
    site = Site(
        index,
        archive,
        outputs=root / "nifti",
        output_name="{SeriesInstanceUID}",
        minimum_free=0,
        ae_title="N",
        dicom_port=lambda: port,
        echo=lambda: None,
        ingest_blocked=lambda: False,
        viewer=lambda _asked: (Answered(), b""),
    )
    client = TestClient(create_app(site, "127.0.0.1"), base_url="http://127.0.0.1")

    def get(path: str) -> Callable[[], None]:
        def ask() -> None:
            site._totals = None  # or it would be answered from what was read a moment ago
            site.health._found = None
            client.get(path).raise_for_status()

        return ask

    def command(*words: str) -> Callable[[], None]:
        app = build()

        def run() -> None:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                app([*words, "-c", str(config)], standalone_mode=False)

        return run

    costs = {
        "watcher step": watcher.step,
        "retention step, nothing old enough": _retention(archive, index, days=20 * 365),
        "retention step, 20 series go": _retention(archive, index, days=365),
        "retention step by size": _retention(archive, index, max_size=1),
        "rasnode status": command("status"),
        "rasnode status --state": command("status", "--state", "not-a-volume", "--limit", "50"),
        "rasnode ls": command("ls"),
        "the page's list": get("/api/series?limit=100"),
        "the page's list by state": get("/api/series?limit=100&state=not-a-volume&state=held"),
        "/metrics": get("/metrics"),
        "/health": get("/health"),
        "start": _start(config, port),
    }
    return Node(folder, index, costs)


def _retention(
    archive: Archive, index: Index, days: float | None = None, max_size: int | None = None
) -> Callable[[], None]:
    def step() -> None:
        RetentionJob(archive, index, days=days, max_size=max_size, clock=lambda: NOW).step()

    return step


def _start(config: Path, port: int) -> Callable[[], None]:
    def start() -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            began = time.monotonic()
            while not _answers(port):
                if process.poll() is not None or time.monotonic() - began > 120:
                    process.kill()
                    raise SystemExit(f"the node on {config} does not start")
                time.sleep(0.01)
            start.seconds = time.monotonic() - began  # type: ignore[attr-defined]
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()

    return start


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def seconds(cost: Callable[[], object]) -> float:
    """How long something takes; of a start, how long until the port is open."""
    began = time.perf_counter()
    cost()
    return float(getattr(cost, "seconds", time.perf_counter() - began))


def _by_turns(costs: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each, of what is quick more often; each begins every other time."""
    first = [seconds(cost) for cost in costs]  # for caches to fill
    taken: list[list[float]] = [[] for _ in costs]
    for turn in range(rounds * (10 if max(first) < QUICK_SECONDS else 1)):
        both = list(zip(costs, taken, strict=True))
        for cost, found in both if turn % 2 else reversed(both):
            found.append(seconds(cost))
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    nodes = []
    for series in (given.small, given.large):
        began = time.monotonic()
        nodes.append(opened(given.folder / str(series), series))
        print(f"{series} series are there after {time.monotonic() - began:.0f} s", flush=True)
    worst = 0.0
    for name in nodes[0].costs:
        small, large = map(
            statistics.median, _by_turns([node.costs[name] for node in nodes], given.rounds)
        )
        worst = max(worst, large / small)
        print(
            f"{name:36} {1e3 * small:9.2f} ms {1e3 * large:9.2f} ms  x {large / small:5.2f}"
            f"{'' if large / small <= TARGET else '  more than ' + str(TARGET)}",
            flush=True,
        )
    for node in nodes:
        node.index.close()
    sys.exit(worst > TARGET)


if __name__ == "__main__":
    main()
