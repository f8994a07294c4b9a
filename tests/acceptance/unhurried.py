"""Runs a script of the shared checks as if it were called: `SCRIPT ARGUMENT...`

Its `rasnode` commands do not wait for an interpreter's imports, see `tests.commands`; a node that
it starts is started as people start it.

Its pynetdicom client rests between two C-STORE requests: `send_c_store` pauses the association's
other thread, but does not wait for it if that has not yet seen that the last pause is over. On a
busy machine it then takes the answer for a request, and the association is aborted after 30 s.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
import time
from typing import Any

from pynetdicom.association import Association

from tests.commands import rasnode

PAUSE_S = 0.01
BY_PEOPLE = [sys.executable, "-m", "node"]


def main() -> None:
    """Run it as if it had been called."""
    send, run = Association.send_c_store, subprocess.run

    def rested(association: Association, *args: Any, **kwargs: Any) -> Any:
        time.sleep(PAUSE_S)
        return send(association, *args, **kwargs)

    def quick(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[: len(BY_PEOPLE)] == BY_PEOPLE:
            return rasnode(*command[len(BY_PEOPLE) :], timeout=options["timeout"])
        return run(command, **options)

    subprocess.run = quick  # type: ignore[assignment]
    Association.send_c_store = rested  # type: ignore[method-assign]
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
