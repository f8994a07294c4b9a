"""`rasnode` commands, each in a process of its own, without waiting for an interpreter's imports.

A process that has imported the commands makes copies of itself: an interpreter of its own would
take two seconds for each. That such interpreters run commands as well is shown by every node that a
test starts, by `tests.integration.test_demo`, and by `tests.acceptance.test_end_to_end` for
`convert`.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from node.cli.commands import COMMANDS
from node.cli.main import main

_CONTEXT = multiprocessing.get_context("forkserver")
_LOADED = [__name__, *sorted({command.module for command in COMMANDS.values()})]


def rasnode(
    *arguments: str, check: bool = False, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What a command says, and its exit code.

    Raises:
        subprocess.CalledProcessError: it failed, and `check` is set.
        subprocess.TimeoutExpired: it took longer; it has been killed.
    """
    _CONTEXT.set_forkserver_preload(_LOADED)
    with tempfile.TemporaryDirectory() as folder:
        said, complained = Path(folder, "stdout"), Path(folder, "stderr")
        process = _CONTEXT.Process(
            target=_run, args=(arguments, dict(os.environ), said, complained), daemon=True
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["rasnode", *arguments], timeout)
        done = subprocess.CompletedProcess(
            ["rasnode", *arguments], process.exitcode, said.read_text(), complained.read_text()
        )
        process.close()
    if check:
        done.check_returncode()
    return done


def _run(
    arguments: Sequence[str], environment: dict[str, str], said: Path, complained: Path
) -> None:
    for path, descriptor in ((said, 1), (complained, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, descriptor)
        os.close(handle)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["rasnode", *arguments]
    main()
