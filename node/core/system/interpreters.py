"""Processes of Python that the node starts: what they run, what they are told, what they inherit.

Such a process runs no code from the folder that it is started in, which may hold files that
others sent: `python -m` and `python -c` look for modules there first. What it is told may hold
secrets, which neither its arguments nor its environment, both of which stay readable as long as it
runs, ever show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

_PACKAGE_FOLDER: Final = str(Path(__file__).parents[3])
_INSTALLED: Final = frozenset(sysconfig.get_path(name) for name in ("purelib", "platlib"))
_MAIN: Final = "import sys; from importlib import import_module as of; of(sys.argv[1]).main()"
_withdrawn: dict[str, str] = {}


def variables() -> dict[str, str]:
    """The environment of this process, with what was withdrawn from its children."""
    return {**_withdrawn, **os.environ}


def withdraw(names: Iterable[str]) -> None:
    """Take variables out of what children inherit; `variables` still has them."""
    for name in names:
        if name in os.environ:
            _withdrawn[name] = os.environ.pop(name)


def take_no_code_from_here() -> None:
    """See that no interpreter that descends from this process imports from its working folder.

    It holds for those, too, that a library starts, such as the server that workers are forked by.
    """
    os.environ.update(_safe())


def command(code: str, *arguments: str) -> list[str]:
    """The arguments of an interpreter that runs some code, to be started in `surroundings`."""
    return [sys.executable, "-P", "-c", code, *arguments]


def surroundings() -> dict[str, str]:
    """The environment for such an interpreter, in which it finds this very package."""
    return {**os.environ, **_safe()}


def start(
    module: str,
    said: Mapping[str, Any],
    *,
    stdin: int | IO[bytes],
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Run the `main` of a module as a process of its own, which begins with `told`.

    Args:
        module: its full name.
        said: what it is told, as JSON can hold it; it may have secrets.
        stdin: as for `subprocess.Popen`.
        pass_fds: descriptors that it keeps.
    """
    with os.fdopen(os.memfd_create("rasnode"), "wb") as memory:  # in no file system
        memory.write(json.dumps(said).encode())
        memory.flush()
        os.lseek(memory.fileno(), 0, os.SEEK_SET)
        return subprocess.Popen(
            command(_MAIN, module, str(memory.fileno())),
            stdin=stdin,
            stdout=subprocess.PIPE,
            env=surroundings(),
            pass_fds=(*pass_fds, memory.fileno()),
        )


def told() -> dict[str, Any]:
    """What `start` was told for this process. To be asked once."""
    with os.fdopen(int(sys.argv[2]), "rb") as memory:
        said: dict[str, Any] = json.loads(memory.read())
    return said


def _safe() -> dict[str, str]:
    """Variables of an environment in which interpreters find this package, and no other code."""
    safe = {"PYTHONSAFEPATH": "1"}
    if _PACKAGE_FOLDER not in _INSTALLED:
        others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        if _PACKAGE_FOLDER not in others:
            safe["PYTHONPATH"] = os.pathsep.join([_PACKAGE_FOLDER, *others])
    return safe
