"""The web application: pages, API, metrics, health."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST

from node.core.errors import Retryable
from node.core.version import VERSION
from node.web.api import router
from node.web.deadlines import Deadlines
from node.web.models import Health
from node.web.roles import role
from node.web.security import Security
from node.web.series_parameters import SeriesUID
from node.web.site import Site
from node.web.viewer.messages import NotViewable

_STATIC = Path(__file__).parent / "static"
_HEALTH: Final = "/health"
_HEALTH_THREADS: Final = 4  # requests of /health at once; further ones wait


def create_app(site: Site, host: str, hosts: Iterable[str] = ()) -> FastAPI:
    """The web application.

    Args:
        site: what it reads from.
        host: the address that it is served on; decides which names are accepted in requests.
        hosts: further names, as `http.hosts` has them.
    """
    app = FastAPI(
        title="rasnode",
        version=VERSION,
        summary="Series that the node has received, their volumes and the evidence for them.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # they would load scripts from other servers
        redoc_url=None,
    )
    app.add_middleware(Deadlines, exempt=frozenset({_HEALTH}))
    app.add_middleware(Security, host=host, hosts=hosts)
    health_threads = CapacityLimiter(_HEALTH_THREADS)
    app.include_router(router(site))
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_exception_handler(NotViewable, _not_viewable)
    app.add_exception_handler(Retryable, _not_now)

    @app.get("/", include_in_schema=False, openapi_extra=role("viewer"))
    def page() -> FileResponse:
        return FileResponse(_STATIC / "list.html")

    @app.get("/series/{uid}", include_in_schema=False, openapi_extra=role("viewer"))
    def series_page(uid: SeriesUID) -> FileResponse:
        known = site.latest.one(uid) is not None
        return FileResponse(_STATIC / "series.html", status_code=200 if known else 404)

    @app.get("/metrics", include_in_schema=False, openapi_extra=role("viewer"))
    def metrics() -> Response:
        return Response(site.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @app.get(_HEALTH, responses={503: {"model": Health}}, openapi_extra=role("public"))
    async def health(response: Response) -> Health:
        """200 if the node is healthy, else 503 with the faults.

        Healthy means: the DICOM port answers a C-ECHO, the index can be written, there is free
        disk space, no file is damaged, and every thread and process of the node runs.
        """
        # In threads of its own: those for other requests may all hang.
        faults = await to_thread.run_sync(site.health.faults, limiter=health_threads)
        response.status_code = 503 if faults else 200
        return Health(healthy=not faults, faults=faults, heartbeats=site.health.ages())

    return app


def _not_viewable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)


def _not_now(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)
