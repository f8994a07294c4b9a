"""`GET /api/events`: changes of series as server-sent events."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from node.web.roles import role
from node.web.site import Site


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: whose changes are told.
    """

    @api.get(
        "/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
        openapi_extra=role("viewer"),
    )
    async def events() -> StreamingResponse:
        """Changes of series from now on: a `data:` line with a JSON object for each.

        The connection ends after a quarter of an hour; browsers then connect anew by themselves.
        """
        return StreamingResponse(
            await site.feed.listen(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
