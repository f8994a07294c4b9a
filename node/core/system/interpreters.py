"""Start Python processes of the node: their command, environment and input.

Such a process imports no code from its working folder, where `python -m` and `python -c` look for
modules first and which may hold received files. Its input may hold secrets, and is neither in its
arguments nor in its environment, which stay readable while it runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

_PACKAGE_FOLDER: Final = str(Path(__file__).parents[3])
_INSTALLED: Final = frozenset(sysconfig.get_path(name) for name in ("purelib", "platlib"))
_MAIN: Final = "import sys; from importlib import import_module as of; of(sys.argv[1]).main()"
_withdrawn: dict[str, str] = {}


def variables() -> dict[str, str]:
    """Return the environment of this process, including variables withdrawn from its children."""
    return {**_withdrawn, **os.environ}


def withdraw(names: Iterable[str]) -> None:
    """Remove variables from the environment of children; `variables` still returns them."""
    for name in names:
        if name in os.environ:
            _withdrawn[name] = os.environ.pop(name)


def take_no_code_from_here() -> None:
    """Make every Python process below this one import no code from its working folder.

    This includes processes that a library starts, such as the server that forks workers.
    """
    os.environ.update(_safe())


def command(code: str, *arguments: str) -> list[str]:
    """Return the command of an interpreter, which needs the environment of `surroundings`.

    Args:
        code: the code that it runs.
        arguments: its arguments, in `sys.argv[1:]`.
    """
    return [sys.executable, "-P", "-c", code, *arguments]


def surroundings() -> dict[str, str]:
    """Return the environment for such an interpreter, in which it finds this package."""
    return {**os.environ, **_safe()}


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes that this thread starts meanwhile never get SIGINT.

    Ctrl-C at a terminal reaches all processes of a command, and an interpreter that is just
    starting dies of it with a traceback. These processes end with their parent.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(
    module: str,
    arguments: Mapping[str, Any],
    *,
    stdin: int | IO[bytes],
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that runs the `main` of a module, which reads its input by `read_input`.

    Args:
        module: full name of the module.
        arguments: the input, as JSON values; may hold secrets.
        stdin: as for `subprocess.Popen`.
        pass_fds: descriptors that the process keeps.
    """
    with os.fdopen(os.memfd_create("rasnode"), "wb") as memory:  # in no file system
        memory.write(json.dumps(arguments).encode())
        memory.flush()
        os.lseek(memory.fileno(), 0, os.SEEK_SET)
        with without_interrupts():
            return subprocess.Popen(
                command(_MAIN, module, str(memory.fileno())),
                stdin=stdin,
                stdout=subprocess.PIPE,
                env=surroundings(),
                pass_fds=(*pass_fds, memory.fileno()),
            )


def read_input() -> dict[str, Any]:
    """Return the input that `start` gave to this process. Call it once."""
    with os.fdopen(int(sys.argv[2]), "rb") as memory:
        arguments: dict[str, Any] = json.loads(memory.read())
    return arguments


def _safe() -> dict[str, str]:
    """Return variables with which interpreters find this package and no other code."""
    safe = {"PYTHONSAFEPATH": "1"}
    if _PACKAGE_FOLDER not in _INSTALLED:
        others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        if _PACKAGE_FOLDER not in others:
            safe["PYTHONPATH"] = os.pathsep.join([_PACKAGE_FOLDER, *others])
    return safe
