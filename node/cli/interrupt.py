"""What Ctrl-C does to a command: it ends with exit code 130 and at most one sentence."""

from __future__ import annotations

import os
import signal
from typing import Final

EXIT_CODE: Final = 130
"""What shells report for a command that SIGINT ended: 128 + 2."""


def exit_at_once() -> None:
    """From now on Ctrl-C ends the process at once.

    For the time before a command begins and after it has ended: an exception that is raised while
    modules are imported, or while the interpreter shuts down, would be shown as a traceback.
    """
    _handle(_exit)


def raise_interrupt() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, so that a command can clean up."""
    _handle(signal.default_int_handler)


def _handle(handler: signal._HANDLER) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job
        signal.signal(signal.SIGINT, handler)


def _exit(*_: object) -> None:
    os.write(2, b"rasnode: interrupted\n")
    os._exit(EXIT_CODE)
