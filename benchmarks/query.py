"""C-FIND against a large index: first and last response, one client and several, next to Orthanc.

    python -m benchmarks.query --studies 200000 --series 5

Everything runs on the loopback, on ports of its own and in a temporary folder. Each figure is the
median of `--repeat` queries on one association; what matters are the ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from benchmarks.picture import Bars, draw
from benchmarks.population import STUDIES_OF_A_PATIENT, Study, fill_rasnode
from benchmarks.questions import BROAD, QUERIES
from benchmarks.servers import ORTHANC, orthanc, peak_memory, rasnode
from node.dimse.upper_layer.messages import C_CANCEL_RQ, C_FIND_RQ
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, PeerSilent, Requestor

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = str(ImplicitVRLittleEndian)
CLIENTS = 4
BESIDE = 15  # queries of each kind to Orthanc and the node in turn
SMALL = 20  # studies of the almost empty index
PENDING = (0xFF00, 0xFF01)
SUCCESS, CANCELLED = 0x0000, 0xFE00
ENOUGH = 16  # matches of a broad query whose first response is wanted


@dataclass(frozen=True)
class Timing:
    """One query. Times in milliseconds from the request."""

    first: float
    last: float
    matches: int


def ask(requestor: Requestor, identifier: Dataset, enough: int = 0) -> Timing:
    """One query, to its final response, or until it has been cancelled after `enough` matches."""
    context = requestor.contexts(FIND)[IMPLICIT]
    encoded = encode(identifier, True, True)
    command = {"AffectedSOPClassUID": FIND, "CommandField": C_FIND_RQ, "Priority": 0}
    started = time.perf_counter()
    message_id = requestor.request(context, command, encoded)
    first, matches = 0.0, 0
    while True:
        status = requestor.response(message_id).command["Status"]
        first = first or time.perf_counter() - started
        if status not in PENDING:
            break
        matches += 1
        if matches == enough:
            cancel = {"CommandField": C_CANCEL_RQ, "MessageIDBeingRespondedTo": message_id}
            requestor.request(context, cancel)
    if status not in (SUCCESS, CANCELLED if enough else SUCCESS):
        raise SystemExit(f"C-FIND was answered 0x{status:04X}")
    return Timing(first * 1000, (time.perf_counter() - started) * 1000, matches)


def connect(port: int, called: str) -> Requestor:
    """An association for queries."""
    where = Destination("127.0.0.1", port, called, "BENCHMARK", seconds=300.0)
    return Requestor(where, [Proposal(FIND, (IMPLICIT,))])


@dataclass
class Server:
    """A node to ask."""

    port: int
    called: str
    studies: int
    process: int = 0


def medians(
    servers: dict[str, Server], make: Callable[[Study], Dataset], repeat: int, enough: int = 0
) -> dict[str, Timing]:
    """The median of a query over different studies; servers in turn, so that all have the same
    weather."""
    timings: dict[str, list[Timing]] = {name: [] for name in servers}
    with ExitStack() as stack:
        open_ones = {
            name: stack.enter_context(connect(server.port, server.called))
            for name, server in servers.items()
        }
        for number in range(-1, repeat):
            for name, server in servers.items():
                timing = ask(open_ones[name], make(_some(server.studies, number)), enough)
                if number >= 0:  # the first one warms up
                    timings[name].append(timing)
    return {
        name: Timing(
            statistics.median(t.first for t in found),
            statistics.median(t.last for t in found),
            round(statistics.mean(t.matches for t in found)),
        )
        for name, found in timings.items()
    }


def _some(studies: int, number: int) -> Study:
    return Study(number * 7907 % studies)


def _client(job: tuple[Server, float]) -> int:
    server, seconds = job
    queries = list(QUERIES.values())
    done = 0
    with connect(server.port, server.called) as requestor:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            study = _some(server.studies, done + os.getpid())
            ask(requestor, queries[done % len(queries)](study))
            done += 1
    return done


def together(server: Server, clients: int, seconds: float) -> float:
    """Queries a second of several clients at once, all kinds in turn."""
    with multiprocessing.get_context("spawn").Pool(clients) as pool:
        return sum(pool.map(_client, [(server, seconds)] * clients)) / seconds


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as it is printed and written with `--json`."""
    large, small = folder / "large", folder / "small"
    results: dict[str, Any] = {"studies": options.studies, "series": options.series}
    for place, studies in ((large, options.studies), (small, SMALL)):
        place.mkdir()
        started = time.perf_counter()
        url = f"sqlite:///{place / 'index.db'}"
        fill_rasnode(url, studies, options.series, options.instances)
        print(f"filled {studies} studies in {time.perf_counter() - started:.0f} s", flush=True)
    rows: dict[str, dict[str, Timing]] = {}
    with ExitStack() as stack:
        port, _ = stack.enter_context(rasnode(small))
        servers = {"small": Server(port, "RASNODE", SMALL)}
        port, process = stack.enter_context(rasnode(large))
        here = servers["large"] = Server(port, "RASNODE", options.studies, process)
        for name, make in QUERIES.items():
            rows[name] = medians(servers, make, options.repeat)
        for name, make in BROAD.items():
            first = medians(servers, make, options.repeat, ENOUGH)
            whole = _broad(here, name, make)
            results[f"responses a second, {name}"] = whole.matches / whole.last * 1000
            rows[name] = first | {"large": replace(whole, first=first["large"].first)}
        for clients in (1, CLIENTS):
            rate = together(here, clients, 5)
            results[f"queries a second, {clients} at once"] = rate
        results["peak MiB"] = peak_memory(process)
        if options.orthanc and ORTHANC:
            other = folder / "orthanc"
            other.mkdir()
            population = (options.studies, options.series, options.instances)
            port = stack.enter_context(orthanc(other, population))
            both = {"large": here, "orthanc": Server(port, "ORTHANC", options.studies)}
            for name, make in QUERIES.items():
                beside = medians(both, make, BESIDE)
                rows[name] |= {"beside": beside["large"], "orthanc": beside["orthanc"]}
            rate = together(both["orthanc"], CLIENTS, 10)
            results[f"Orthanc's queries a second, {CLIENTS} at once"] = rate
    for title, which in (("first response, ms", "first"), ("last response, ms", "last")):
        results[title] = {
            name: {where: round(getattr(timing, which), 3) for where, timing in found.items()}
            for name, found in rows.items()
        }
    _show(rows)
    return results


def _broad(server: Server, name: str, make: Callable[[Study], Dataset]) -> Timing:
    before = peak_memory(server.process)
    with connect(server.port, server.called) as requestor:
        timing = ask(requestor, make(_some(server.studies, 0)))
    print(
        f"{name}: {timing.matches} matches at "
        f"{timing.matches / timing.last * 1000:.0f} a second, "
        f"peak memory {before} -> {peak_memory(server.process)} MiB",
        flush=True,
    )
    return timing


def _show(rows: dict[str, dict[str, Timing]]) -> None:
    print(
        f"{'first response, ms':26} {'small':>8} {'large':>8} {'ratio':>6} {'Orthanc':>8}", end=""
    )
    print(f" {'ratio':>6} {'last':>9} {'matches':>8}")
    for name, found in rows.items():
        large = found["large"]
        line = f"{name:26} "
        small, other = found.get("small"), found.get("orthanc")
        line += f"{small.first:8.2f} " if small else " " * 9
        line += f"{large.first:8.2f} "
        line += f"{large.first / small.first:6.2f} " if small else " " * 7
        beside = found.get("beside", large)  # asked in turn with Orthanc, in the same weather
        line += f"{other.first:8.1f} {other.first / beside.first:6.0f} " if other else " " * 16
        print(f"{line}{large.last:9.2f} {large.matches:8}")


def picture(path: Path, results: dict[str, Any]) -> None:
    """Draw first responses from what `--json` wrote."""
    studies = f"{results['studies']:,}"
    series = f"{results['studies'] * results['series']:,}"
    labels = {"beside": f"rasnode, {studies}", "orthanc": f"Orthanc, {studies}"}
    groups = [
        Bars(name, [(label, found[of], f"{found[of]:.1f} ms") for of, label in labels.items()])
        for name, found in results["first response, ms"].items()
        if "orthanc" in found
    ]
    title = f"First C-FIND response: {studies} studies, {series} series"
    note = f"medians of {BESIDE} queries, both asked in turn on one machine, {os.cpu_count()} cores"
    draw(path, title, groups, note)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--studies", type=int, default=20000)
    parser.add_argument("--series", type=int, default=5, help="of each study")
    parser.add_argument("--instances", type=int, default=1, help="of each series")
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--no-orthanc", dest="orthanc", action="store_false")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--picture", type=Path, help="draw the first responses into this SVG")
    options = parser.parse_args()
    if options.studies < STUDIES_OF_A_PATIENT:
        parser.error(f"--studies has to be at least {STUDIES_OF_A_PATIENT}")
    with tempfile.TemporaryDirectory(prefix="rasnode-query.") as folder:
        try:
            results = measure(options, Path(folder))
        except PeerSilent as error:
            raise SystemExit(str(error)) from error
    for name, value in results.items():
        if isinstance(value, int | float):
            print(f"{name}: {value:.0f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.picture:
        picture(options.picture, results)


if __name__ == "__main__":
    main()
