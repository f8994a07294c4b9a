"""Deadlines of requests and health checks: a database or disk that hangs must not hang the page.

A thread that waits for a database cannot be cancelled. It is left behind, the client is answered
503, and the number of such threads is limited.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.core.errors import NodeError
from node.core.supervision import background
from node.web.http.problems import problem

REQUEST_SECONDS: Final = 15.0
"""From a request to the first byte of its answer. Slices of large volumes take some seconds."""
CHECK_SECONDS: Final = 6.0
"""For all checks of `/health`, which run at the same time. Clients may give up after ten."""
MOST_OVERDUE: Final = 20
"""Requests left behind at most; the rest of the forty threads answer other requests."""


class Deadlines:
    """ASGI middleware: a request that is not answered in time is answered 503.

    Args:
        app: answers the requests.
        exempt: paths that have a deadline of their own and must always be answered.
        long: endings of paths to which a POST may take long, as it brings files.
    """

    def __init__(
        self, app: ASGIApp, exempt: frozenset[str] = frozenset(), long: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._exempt = exempt
        self._long = long
        self._overdue: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or self._is_exempt(scope):
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

    def _is_exempt(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return path in self._exempt or (scope["method"] == "POST" and path.endswith(self._long))

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, began: asyncio.Event
    ) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            began.set()  # after an exception, too: it is raised to the caller

    def _leave(self, task: asyncio.Task[None]) -> None:
        """Let a request end when its thread does; a cancelled one would not be counted any more."""
        self._overdue.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._overdue.discard(task)
            if not task.cancelled():
                task.exception()  # the client has its answer already

        task.add_done_callback(ended)


async def _not_now(scope: Scope, receive: Receive, send: Send) -> None:
    sentence = (
        "the request was not answered in time, as the index or the disk does not answer; "
        "/health shows the cause"
    )
    await problem(Headers(scope=scope), 503, sentence)(scope, receive, send)


class Checks:
    """Runs several checks at the same time, each with a deadline.

    A check that hangs is not started again before it has ended.

    Args:
        checks: by name; each raises NodeError or OSError if it finds a fault.
    """

    def __init__(self, checks: Mapping[str, Callable[[], None]]) -> None:
        self._checks = checks
        self._running: dict[str, _Check] = {}

    def faults(self) -> dict[str, str]:
        """The faults by the check's name, after `CHECK_SECONDS` at most."""
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = _Check(name, check)
        deadline = time.monotonic() + CHECK_SECONDS
        faults = {}
        for name, running in list(self._running.items()):
            fault = running.fault(max(0.0, deadline - time.monotonic()))
            if fault:
                faults[name] = fault
            if running.over:
                del self._running[name]
        return faults


class _Check:
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
        """What it found wrong; empty if nothing.

        Args:
            seconds: how long to wait for it.
        """
        if self._over.wait(seconds):
            return self._fault
        return f"the check has not answered for {time.monotonic() - self._since:.0f} s"

    def _run(self) -> None:
        try:
            self._check()
        except (NodeError, OSError) as error:
            self._fault = str(error)
        except Exception as error:  # noqa: BLE001  a check that fails is no sign of health
            self._fault = f"the check failed with an unforeseen {type(error).__name__}"
        finally:
            self._over.set()
