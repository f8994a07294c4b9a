"""What Ctrl-C does to a command: it ends with exit code 130 and at most one sentence."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Final

EXIT_CODE: Final = 130
"""What shells report for a command that SIGINT ended: 128 + 2."""


def prepare() -> None:
    """Handle Ctrl-C from the start of the process, and where Python would only report it."""
    exit_at_once()
    sys.unraisablehook = _end_if_interrupted


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
    if threading.current_thread() is not threading.main_thread():
        return  # signals are handled in the main thread alone
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # it is in a script's background jobs
        signal.signal(signal.SIGINT, handler)


def _exit(*_: object) -> None:
    os.write(2, b"rasnode: interrupted\n")
    os._exit(EXIT_CODE)


def _end_if_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
    """End the process where a KeyboardInterrupt cannot be raised, as in a finalizer."""
    if unraisable.exc_type is KeyboardInterrupt:
        _exit()
    sys.__unraisablehook__(unraisable)
