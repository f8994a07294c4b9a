"""Reads the body of a request that brings files, with deadlines, in few threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from node.core.errors import StorageFull
from node.web.upload.multipart import BadForm

CHUNK_SECONDS: Final = 60.0
"""For the next bytes of a body."""
WHOLE_SECONDS: Final = 4 * 3600.0
MOST_AT_ONCE: Final = 2
_RETRY_SECONDS: Final = 10

_Result = TypeVar("_Result")


class Receiving:
    """Lets a few requests bring files at once."""

    def __init__(self) -> None:
        self._under_way = 0
        self._threads = CapacityLimiter(MOST_AT_ONCE)

    async def run(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Run a function in a thread; it is waited for even when the client goes away."""
        return await to_thread.run_sync(work, *arguments, limiter=self._threads)

    async def read(
        self,
        request: Request,
        opened: Callable[[], Any],
        finished: Callable[[Any], _Result],
    ) -> _Result:
        """Read the body of a request.

        Args:
            request: with a form.
            opened: makes what takes the bytes: it has `feed` and `close`.
            finished: makes the answer of it, once it has all bytes.

        Raises:
            HTTPException: 400 the form is broken, 408 the client is too slow, 503 as many requests
                bring files as may, 507 the disk is full.
        """
        if self._under_way >= MOST_AT_ONCE:
            raise HTTPException(
                503,
                f"{MOST_AT_ONCE} uploads are under way; try again when one has ended",
                {"Retry-After": str(_RETRY_SECONDS)},
            )
        self._under_way += 1
        try:
            return await self._read(request, opened, finished)
        except BadForm as error:
            raise HTTPException(400, str(error)) from error
        except StorageFull as error:
            raise HTTPException(507, str(error)) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the client has gone away") from error
        except TimeoutError as error:
            raise HTTPException(408, "the upload took too long") from error
        finally:
            self._under_way -= 1

    async def _read(
        self,
        request: Request,
        opened: Callable[[], Any],
        finished: Callable[[Any], _Result],
    ) -> _Result:
        taking = await self.run(opened)
        try:
            with anyio.fail_after(WHOLE_SECONDS):
                chunks = request.stream()
                while True:
                    with anyio.fail_after(CHUNK_SECONDS):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    if chunk:
                        await self.run(taking.feed, chunk)
            return await self.run(finished, taking)
        finally:
            with anyio.CancelScope(shield=True):
                await self.run(taking.close)
