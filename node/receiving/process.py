"""A receiver as a process of its own: `python -m node.receiving.process`, started by `Crew`.

It shares the listening socket with its siblings. Its parent writes changed settings to its stdin,
a line of JSON each, and closes it when it is time to stop.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from typing import Any, Final

from node.archive import Archive
from node.config import Dicom, Settings
from node.index.engine import Index
from node.journal import Journal
from node.logs import configure_logging
from node.receiving.desk import Desk

ENVIRONMENT: Final = "RASNODE_RECEIVER"
READY: Final = b"ready\n"
SWITCH_SECONDS: Final = 0.0005
"""How long a thread that computes keeps one waiting that has an answer due."""


def main() -> None:
    """Receive until stdin ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its parent says when it is time
    said: dict[str, Any] = json.loads(os.environ.pop(ENVIRONMENT))
    settings = Settings.model_validate(said["settings"])
    configure_logging(settings.log.format)
    sys.setswitchinterval(SWITCH_SECONDS)
    bell = int(said["bell"])

    def ring() -> None:
        with suppress(BlockingIOError):
            os.write(bell, b"\0")

    with ExitStack() as undo:
        index = Index(settings.database_url())
        undo.callback(index.close)
        journal = Journal(settings.storage.root)
        undo.callback(journal.close)
        desk = Desk(
            settings,
            Archive(settings.storage.root),
            index,
            journal,
            run=said["run"],
            lane=int(said["lane"]),
            ring=ring,
            listening=socket.socket(fileno=int(said["listening"])),
        )
        desk.start()
        undo.callback(desk.stop, float(said["seconds"]))
        os.write(sys.stdout.fileno(), READY)
        for line in sys.stdin:
            desk.allow(Dicom.model_validate_json(line))


if __name__ == "__main__":
    main()
