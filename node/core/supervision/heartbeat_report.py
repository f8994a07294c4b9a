"""Heartbeat reports of a child process to its parent: one line a second on its stdout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.core.supervision.heartbeat import HEARTBEATS, LoopState
from node.core.supervision.loop import Loop

LIFE: Final = b"life "
_EVERY_SECONDS: Final = 1.0
_STDOUT: Final = 1


class Reporter:
    """Reports the heartbeats of this process once a second, in a thread of its own.

    Args:
        tell: sends a line without waiting; None writes it to stdout.
    """

    def __init__(self, tell: Callable[[bytes], None] | None = None) -> None:
        self._tell = tell or _to_stdout
        self._loop = Loop("reporter", self._report)

    def start(self) -> None:
        """Start reporting."""
        self._loop.start()

    def stop(self) -> None:
        """Stop reporting."""
        self._loop.stop(1.0)

    def _report(self) -> float:
        signs = [sign.as_json() for sign in HEARTBEATS.own()]
        self._tell(LIFE + json.dumps(signs).encode() + b"\n")
        return _EVERY_SECONDS


def _to_stdout(line: bytes) -> None:
    with suppress(BlockingIOError, BrokenPipeError):  # the parent is busy or has ended
        os.write(_STDOUT, line)


def read_life(line: bytes) -> list[LoopState]:
    """Return the states in a line that begins with `LIFE`; none if it cannot be read."""
    try:
        return [LoopState(**one) for one in json.loads(line[len(LIFE) :])]
    except (ValueError, TypeError):
        return []
