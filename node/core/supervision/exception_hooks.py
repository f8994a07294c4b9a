"""What Python would print to stderr past the log goes to the log, without the text that may quote
a patient's data."""

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
    """For this process, from now on."""
    threading.excepthook = _thread_ended
    sys.unraisablehook = _not_raised


def _thread_ended(args: ExceptHookArgs) -> None:
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "unknown"
    log.error(
        "the thread %s ended by an error that nobody foresaw (reference %s): %s",
        name,
        error_reference(args.exc_value),
        traced(args.exc_value),
    )


def _not_raised(args: UnraisableHookArgs) -> None:
    error = args.exc_value
    if error is not None:
        log.error("an error while something was cleaned up: %s", traced(error))
