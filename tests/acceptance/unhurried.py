"""Runs a script whose pynetdicom client rests between two C-STORE requests: `SCRIPT ARGUMENT...`

`send_c_store` pauses the association's other thread, but does not wait for it if that has not yet
seen that the last pause is over. On a busy machine it then takes the answer for a request, and the
association is aborted after 30 s.
"""

from __future__ import annotations

import runpy
import sys
import time
from typing import Any

from pynetdicom.association import Association

PAUSE_S = 0.01


def main() -> None:
    """Run it as if it had been called."""
    send = Association.send_c_store

    def rested(association: Association, *args: Any, **kwargs: Any) -> Any:
        time.sleep(PAUSE_S)
        return send(association, *args, **kwargs)

    Association.send_c_store = rested  # type: ignore[method-assign]
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
