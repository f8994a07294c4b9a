"""A dask cluster of processes that can be killed one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.running import free_port

_REPOSITORY = Path(__file__).parents[1]


class Cluster:
    """A scheduler on a port of its own, and as many workers of one thread as are started.

    Args:
        folder: for what they print.
        certificates: a folder with `ca.pem`, `node.pem` and `node.key`; None: without TLS.
    """

    def __init__(self, folder: Path, certificates: Path | None = None) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self.executor = f"dask://{self.host}"
        self.address = f"{'tcp' if certificates is None else 'tls'}://{self.host}"
        self._folder = folder
        self._certificates = certificates
        self._processes: list[subprocess.Popen[str]] = []
        self.scheduler: subprocess.Popen[str] | None = None

    def start_scheduler(self) -> None:
        """Start it, or another one in its place."""
        self.scheduler = self._start("scheduler", self.address)
        self._heard(self.scheduler)

    def start_workers(self, count: int = 1, hidden: Path | None = None) -> list[str]:
        """Start workers; returns their addresses.

        Args:
            hidden: a folder that they do not see.
        """
        started = [
            self._start("worker", self.address, "" if hidden is None else str(hidden))
            for _ in range(count)
        ]
        return [self._heard(process) for process in started]

    def kill_workers(self) -> None:
        """kill -9 of all workers."""
        for process in self._processes:
            if process is not self.scheduler:
                _kill(process)
        self._processes = [process for process in self._processes if process.poll() is None]

    def kill_scheduler(self) -> None:
        """kill -9."""
        assert self.scheduler is not None
        _kill(self.scheduler)

    def close(self) -> None:
        """Kill them all."""
        for process in self._processes:
            _kill(process)

    def _start(self, role: str, address: str, hidden: str = "") -> subprocess.Popen[str]:
        certificates = "" if self._certificates is None else str(self._certificates)
        with (self._folder / "dask.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.dask_process", role, address, certificates, hidden],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=_REPOSITORY,
                env={
                    **os.environ,
                    "PYTHONPATH": str(_REPOSITORY),
                    # Dask's own default lets a job end four workers before it gives up.
                    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
                },
            )
        self._processes.append(process)
        return process

    def _heard(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert said[:1] == ["ready"], (self._folder / "dask.log").read_text()
        return said[1]


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()
