"""Servers to measure against: a node and an Orthanc, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.population import fill_orthanc

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")


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
    command = [str(ORTHANC), str(config)]
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
