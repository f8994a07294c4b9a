"""Bounds on how long a request may take: a database or a disk that hangs must not hang the page.

Threads that wait for a database cannot be called off. They are left behind, as few as can be, and
whoever asks is told so.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.core.errors import NodeError
from node.core.supervision import background

REQUEST_SECONDS: Final = 15.0
"""From a request to the first byte of its answer. Slices of large volumes take some seconds."""
CHECK_SECONDS: Final = 6.0
"""For all checks of `/health`, which are made side by side. Whoever asks may give up after ten."""
MOST_OVERDUE: Final = 20
"""Requests left behind at most; the rest of the forty threads that answer are for what does not
hang."""


class Deadlines:
    """ASGI middleware: a request that is not answered in time is answered 503.

    Args:
        exempt: paths that keep a deadline by themselves, and have to be answered always.
    """

    def __init__(self, app: ASGIApp, exempt: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._exempt = exempt
        self._overdue: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        if len(self._overdue) >= MOST_OVERDUE:
            await _not_now(scope, receive, send)
            return
        began, given_up = asyncio.Event(), False

        async def send_in_time(message: Message) -> None:
            if not given_up:
                began.set()
                await send(message)

        task = asyncio.create_task(self._answer(scope, receive, send_in_time, began))
        try:
            await asyncio.wait_for(began.wait(), REQUEST_SECONDS)
        except TimeoutError:
            given_up = True
            self._leave(task)
            await _not_now(scope, receive, send)
        except asyncio.CancelledError:
            task.cancel()
            raise
        else:
            await task

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, began: asyncio.Event
    ) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            began.set()  # of an exception, too, there is something to be told

    def _leave(self, task: asyncio.Task[None]) -> None:
        """Let it end when its thread does. Cancelled, it would no longer count, and its thread
        would hang on uncounted."""
        self._overdue.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._overdue.discard(task)
            if not task.cancelled():
                task.exception()  # nobody is there any more to be told

        task.add_done_callback(ended)


async def _not_now(scope: Scope, receive: Receive, send: Send) -> None:
    sentence = (
        "not answered in time: the index or the disk does not answer the node; "
        "/health says what is wrong"
    )
    await JSONResponse({"detail": sentence}, 503)(scope, receive, send)


class Checks:
    """Looks at several things side by side, and waits for none of them for long.

    One that hangs is not begun again before it has ended.

    Args:
        checks: by name; each raises NodeError or OSError if something is wrong.
    """

    def __init__(self, checks: Mapping[str, Callable[[], None]]) -> None:
        self._checks = checks
        self._running: dict[str, _Look] = {}

    def faults(self) -> dict[str, str]:
        """What is wrong, by the check's name, after `CHECK_SECONDS` at most."""
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = _Look(name, check)
        deadline = time.monotonic() + CHECK_SECONDS
        faults = {}
        for name, look in list(self._running.items()):
            fault = look.fault(max(0.0, deadline - time.monotonic()))
            if fault:
                faults[name] = fault
            if look.over:
                del self._running[name]
        return faults


class _Look:
    """One check, in a thread of its own."""

    def __init__(self, name: str, check: Callable[[], None]) -> None:
        self._check = check
        self._since = time.monotonic()
        self._fault = ""
        self._over = threading.Event()
        background(f"check {name}", self._run)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    def fault(self, seconds: float) -> str:
        """What it found, or that it has found nothing yet."""
        if self._over.wait(seconds):
            return self._fault
        return f"it has not answered for {time.monotonic() - self._since:.0f} s"

    def _run(self) -> None:
        try:
            self._check()
        except (NodeError, OSError) as error:
            self._fault = str(error)
        except Exception as error:  # noqa: BLE001  a check that fails is no sign of health
            self._fault = f"it could not be checked: an unforeseen {type(error).__name__}"
        finally:
            self._over.set()
