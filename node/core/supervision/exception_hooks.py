"""Log the exceptions that Python would print to stderr, without their text, which may quote patient
data."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from node.core.errors import error_reference, traced

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from threading import ExceptHookArgs

log = logging.getLogger(__name__)


def install_hooks() -> None:
    """Install the hooks for this process."""
    threading.excepthook = _thread_ended
    sys.unraisablehook = _not_raised


def _thread_ended(args: ExceptHookArgs) -> None:
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "unknown"
    log.error(
        "the thread %s ended with an unexpected error (reference %s): %s",
        name,
        error_reference(args.exc_value),
        traced(args.exc_value),
    )


def _not_raised(args: UnraisableHookArgs) -> None:
    error = args.exc_value
    if error is not None:
        log.error("an object could not be cleaned up: %s", traced(error))
