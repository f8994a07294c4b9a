"""Servers to measure, each in processes of its own: a node, and what it is compared with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.population import fill_orthanc

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")
STORESCP = shutil.which("storescp", path="/usr/bin")
_DCMTK_PROMPT = {"TCP_NODELAY": "1"}
STORESCU = shutil.which("storescu", path="/usr/bin")


@contextmanager
def rasnode(folder: Path, **dicom: Any) -> Iterator[tuple[int, int]]:
    """The node, on the index that is in its folder; yields port and process.

    Args:
        dicom: settings of its port.
    """
    port = _free_port()
    config = folder / "config.yaml"
    settings = {
        "dicom": {"host": "127.0.0.1", "port": port, **dicom},
        "storage": {"root": str(folder), "minimum_free": 0},
        "http": {"port": None},
    }
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "node", "serve", "-c", str(config)]
    with _server(command, folder / "node.log", port) as process:
        yield port, process


@contextmanager
def orthanc(
    folder: Path, population: tuple[int, int, int] | None = None, *, prompt: bool = False
) -> Iterator[int]:
    """Orthanc; yields its port.

    Args:
        population: studies, series of each and instances of each of these, to hold from the start.
    """
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
    command = [str(ORTHANC), str(config)]
    if population:
        with _server(command, folder / "orthanc.log", port):
            pass
        fill_orthanc(folder / "index", *population)
    with _server(command, folder / "orthanc.log", port, _DCMTK_PROMPT if prompt else {}):
        yield port


@contextmanager
def storescp(folder: Path, *, prompt: bool, fork: bool) -> Iterator[int]:
    """DCMTK's storescp; yields its port.

    Args:
        fork: a process for each association. As it comes, it serves one after the other.
        prompt: whether it may answer at once. As it comes, Nagle's algorithm on its own socket
            holds each response back for 40 ms.
    """
    port = _free_port()
    command = [str(STORESCP), "--output-directory", str(folder), str(port)]
    if fork:
        command.insert(1, "--fork")
    with _server(command, folder.with_suffix(".log"), port, _DCMTK_PROMPT if prompt else {}):
        yield port


@contextmanager
def pynetdicom_app(folder: Path) -> Iterator[int]:
    """The storescp that comes with pynetdicom; yields its port."""
    port = _free_port()
    command = [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-od", str(folder)]
    with _server(command, folder.with_suffix(".log"), port):
        yield port


@contextmanager
def _server(
    command: list[str], log: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
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
    """Peak resident memory of a process and of all that it started, in MiB."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    family = [process]
    for member in family:
        family += parents.get(member, [])
    return sum(_peak(member) for member in family) // 1024


def _peak(process: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0


def processes_of(process: int) -> list[int]:
    """A process and all that came from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def is_worker(process: int) -> bool:
    """Whether it makes volumes."""
    with suppress(OSError):
        return b"forkserver" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def resident(process: int) -> int:
    """Bytes of memory that a process has for itself; 0 once it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    return 0


def descriptors(process: int) -> int:
    """Files and sockets that a process has open; 0 once it is gone."""
    with suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    return 0
