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
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from benchmarks.population import STUDIES_OF_A_PATIENT, Study, fill_orthanc, fill_rasnode
from node.dimse.messages import C_FIND_RQ
from node.dimse.requestor import Destination, PeerSilent, Requestor
from node.dimse.upper_layer import Proposal

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = str(ImplicitVRLittleEndian)
SMALL = 20  # studies of the almost empty index
PENDING = (0xFF00, 0xFF01)
RETURNED = (
    "PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber",
    "StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedSeries",
)  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """One query. Times in milliseconds from the request."""

    first: float
    last: float
    matches: int


def _study_level(**keys: str) -> Dataset:
    return _identifier("STUDY", {**dict.fromkeys(RETURNED, ""), **keys})


def _identifier(level: str, keys: dict[str, str]) -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


QUERIES: dict[str, Callable[[Study], Dataset]] = {
    "StudyInstanceUID": lambda s: _study_level(StudyInstanceUID=s.uid),
    "series of a study": lambda s: _identifier(
        "SERIES",
        {
            "StudyInstanceUID": s.uid,
            "SeriesInstanceUID": "",
            "Modality": "",
            "SeriesNumber": "",
            "NumberOfSeriesRelatedInstances": "",
        },
    ),
    "SeriesInstanceUID": lambda s: _identifier(
        "SERIES", {"StudyInstanceUID": s.uid, "SeriesInstanceUID": s.series_uid(0)}
    ),
    "SOPInstanceUID": lambda s: _identifier(
        "IMAGE",
        {
            "StudyInstanceUID": s.uid,
            "SeriesInstanceUID": s.series_uid(0),
            "SOPInstanceUID": s.instance_uid(0, 0),
            "InstanceNumber": "",
        },
    ),
    "PatientID": lambda s: _study_level(PatientID=s.patient_id),
    "PatientName prefix": lambda s: _study_level(
        PatientName=s.name.partition("^")[0].upper() + "*"
    ),
    "AccessionNumber": lambda s: _study_level(AccessionNumber=s.attributes["AccessionNumber"]),
    "StudyDate, one day": lambda s: _study_level(StudyDate=f"{s.date}-{s.date}"),
    "StudyDate and modality": lambda s: _study_level(
        StudyDate=s.date, ModalitiesInStudy=s.modality
    ),
}
BROAD: dict[str, Callable[[Study], Dataset]] = {
    "StudyDate, ten years": lambda _s: _study_level(StudyDate="20150101-20241231"),
    "ModalitiesInStudy": lambda _s: _study_level(ModalitiesInStudy="MR"),
    "everything": lambda _s: _study_level(),
}


def ask(requestor: Requestor, identifier: Dataset) -> Timing:
    """One query, to its final response."""
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
    if status != 0:
        raise SystemExit(f"C-FIND was answered 0x{status:04X}")
    return Timing(first * 1000, (time.perf_counter() - started) * 1000, matches)


def connect(port: int, called: str) -> Requestor:
    """An association for queries."""
    where = Destination("127.0.0.1", port, called, "BENCHMARK", seconds=300.0)
    return Requestor(where, [Proposal(FIND, (IMPLICIT,))])


def median(port: int, called: str, make: Callable[[Study], Dataset], studies: int, repeat: int):
    """The median of a query over different studies."""
    with connect(port, called) as requestor:
        ask(requestor, make(Study(0)))
        timings = [ask(requestor, make(_some(studies, n))) for n in range(repeat)]
    return Timing(
        statistics.median(t.first for t in timings),
        statistics.median(t.last for t in timings),
        round(statistics.mean(t.matches for t in timings)),
    )


def _some(studies: int, number: int) -> Study:
    return Study(number * 7907 % studies)


def _client(job: tuple[int, str, int, float]) -> int:
    port, called, studies, seconds = job
    queries = list(QUERIES.values())
    done = 0
    with connect(port, called) as requestor:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ask(requestor, queries[done % len(queries)](_some(studies, done + os.getpid())))
            done += 1
    return done


def together(port: int, called: str, studies: int, clients: int, seconds: float) -> float:
    """Queries a second of several clients at once, all kinds in turn."""
    with multiprocessing.get_context("spawn").Pool(clients) as pool:
        return sum(pool.map(_client, [(port, called, studies, seconds)] * clients)) / seconds


@contextmanager
def rasnode(folder: Path) -> Iterator[tuple[int, int]]:
    """The node on an index that is there already; yields port and process."""
    port = _free_port()
    config = folder / "config.yaml"
    settings = {
        "dicom": {"host": "127.0.0.1", "port": port},
        "storage": {"root": str(folder), "minimum_free": 0},
        "http": {"port": None},
    }
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "node", "serve", "-c", str(config)]
    with _server(command, folder / "node.log", port) as process:
        yield port, process


@contextmanager
def orthanc(folder: Path, studies: int) -> Iterator[int]:
    """Orthanc with the same studies; yields its port."""
    port = _free_port()
    config = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "HttpServerEnabled": False,
        "DicomAlwaysAllowFind": True,
        "StorageAccessOnFind": "Never",
    }
    config.write_text(json.dumps(settings))
    command = [str(shutil.which("Orthanc", path="/usr/sbin:/usr/bin")), str(config)]
    with _server(command, folder / "orthanc.log", port):
        pass
    fill_orthanc(folder / "index", studies)
    with _server(command, folder / "orthanc.log", port):
        yield port


@contextmanager
def _server(command: list[str], log: Path, port: int) -> Iterator[int]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} did not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peak_memory(process: int) -> int:
    """Peak resident memory of a process in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as it is printed and written with `--json`."""
    large, small = folder / "large", folder / "small"
    results: dict[str, Any] = {"studies": options.studies, "series": options.series}
    for place, studies in ((large, options.studies), (small, SMALL)):
        place.mkdir()
        started = time.perf_counter()
        fill_rasnode(f"sqlite:///{place / 'index.db'}", studies, options.series, options.instances)
        print(f"filled {studies} studies in {time.perf_counter() - started:.0f} s", flush=True)
    rows: dict[str, dict[str, Timing]] = {name: {} for name in (*QUERIES, *BROAD)}
    with rasnode(small) as (port, _):
        for name, make in QUERIES.items():
            rows[name]["small"] = median(port, "RASNODE", make, SMALL, options.repeat)
    with rasnode(large) as (port, process):
        for name, make in QUERIES.items():
            rows[name]["large"] = median(port, "RASNODE", make, options.studies, options.repeat)
        for name, make in BROAD.items():
            before = peak_memory(process)
            rows[name]["large"] = timing = median(port, "RASNODE", make, options.studies, 1)
            print(
                f"{name}: first response {timing.first:.1f} ms, {timing.matches} matches at "
                f"{timing.matches / timing.last * 1000:.0f} a second, "
                f"peak memory {before} -> {peak_memory(process)} MiB",
                flush=True,
            )
        results["queries a second, 1 client"] = together(port, "RASNODE", options.studies, 1, 5)
        results["queries a second, 4 clients"] = together(port, "RASNODE", options.studies, 4, 5)
        results["peak MiB"] = peak_memory(process)
    if options.orthanc and shutil.which("Orthanc", path="/usr/sbin:/usr/bin"):
        other = folder / "orthanc"
        other.mkdir()
        with orthanc(other, options.studies) as port:
            for name, make in QUERIES.items():
                rows[name]["orthanc"] = median(port, "ORTHANC", make, options.studies, 5)
            results["Orthanc's queries a second, 4 clients"] = together(
                port, "ORTHANC", options.studies, 4, 10
            )
    results["first response, ms"] = {
        name: {where: round(timing.first, 3) for where, timing in found.items()}
        for name, found in rows.items()
    }
    results["last response, ms"] = {
        name: {where: round(timing.last, 3) for where, timing in found.items()}
        for name, found in rows.items()
    }
    _show(rows)
    return results


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
        line += f"{other.first:8.1f} {other.first / large.first:6.0f} " if other else " " * 16
        print(f"{line}{large.last:9.2f} {large.matches:8}")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--studies", type=int, default=20000)
    parser.add_argument("--series", type=int, default=5, help="of each study")
    parser.add_argument("--instances", type=int, default=1, help="of each series")
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--no-orthanc", dest="orthanc", action="store_false")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
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


if __name__ == "__main__":
    main()
