"""The web application: pages, API, metrics, health."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.routing import Mount

from node.core.settings.http import Http
from node.core.version import VERSION
from node.storage.access.accounts import Accounts
from node.web.api import router
from node.web.auth.access import Access
from node.web.auth.setup import Login
from node.web.http.deadlines import Deadlines
from node.web.http.head import Head
from node.web.http.problems import add_handlers, problem
from node.web.http.security import Security
from node.web.pages import page
from node.web.roles import role
from node.web.routes.models import Health
from node.web.routes.series_parameters import SeriesUID
from node.web.site import Site
from node.web.viewer.messages import NotViewable

_STATIC = Path(__file__).parent / "static"
_HEALTH: Final = "/health"
_HEALTH_THREADS: Final = 4  # requests of /health at once; further ones wait


def create_app(site: Site, settings: Http, accounts: Accounts | None = None) -> FastAPI:
    """The web application.

    Args:
        site: what it reads from.
        settings: `http`: the address decides which names are accepted in requests, `auth` who is
            let in.
        accounts: users, tokens and sessions; only needed with `auth`.
    """
    app = FastAPI(
        title="rasnode",
        version=VERSION,
        summary="Series that the node has received, their volumes and the evidence for them.",
        openapi_url=None,  # `_description` answers it, and states a role
        docs_url=None,  # they would load scripts from other servers
        redoc_url=None,
    )
    login = Login(settings, accounts)
    # The last one that is added gets a request first.
    app.add_middleware(Head)
    app.add_middleware(
        Access,
        routes=lambda: app.routes,
        authenticator=login.authenticator,
        audit=login.audit,
        public_url=settings.public_url,
    )
    app.add_middleware(Deadlines, exempt=frozenset({_HEALTH}), long=("/instances", "/results"))
    app.add_middleware(Security, settings=settings)
    add_handlers(app)
    app.add_exception_handler(NotViewable, _not_viewable)
    for routes in (_pages(site), _description(app), router(site), *login.routes):
        # One flat list, in which `Access` finds each route with the role that it states.
        app.router.routes.extend(routes.routes)
    app.router.routes.append(_static())
    return app


def _pages(site: Site) -> APIRouter:
    routes = APIRouter()
    health_threads = CapacityLimiter(_HEALTH_THREADS)

    @routes.get("/", include_in_schema=False, openapi_extra=role("viewer"))
    def front(request: Request) -> HTMLResponse:
        return page(request, "list.html")

    @routes.get("/series/{uid}", include_in_schema=False, openapi_extra=role("viewer"))
    def series_page(request: Request, uid: SeriesUID) -> HTMLResponse:
        known = site.latest.one(uid) is not None
        return page(request, "series.html", 200 if known else 404)

    @routes.get("/deliveries", include_in_schema=False, openapi_extra=role("viewer"))
    def deliveries_page(request: Request) -> HTMLResponse:
        return page(request, "deliveries.html")

    @routes.get("/pulls", include_in_schema=False, openapi_extra=role("viewer"))
    def pulls_page(request: Request) -> HTMLResponse:
        return page(request, "pulls.html")

    @routes.get("/admin", include_in_schema=False, openapi_extra=role("admin"))
    def admin_page(request: Request) -> HTMLResponse:
        return page(request, "admin.html")

    @routes.get("/metrics", include_in_schema=False, openapi_extra=role("viewer"))
    def metrics() -> Response:
        return Response(site.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @routes.get(_HEALTH, responses={503: {"model": Health}}, openapi_extra=role("public"))
    async def health(response: Response) -> Health:
        """200 if the node is healthy, else 503 with the faults.

        Healthy means: the DICOM port answers a C-ECHO, the index can be written, there is free
        disk space, no file is damaged, and every thread and process of the node runs.
        """
        # In threads of its own: those for other requests may all hang.
        faults = await to_thread.run_sync(site.health.faults, limiter=health_threads)
        response.status_code = 503 if faults else 200
        return Health(healthy=not faults, faults=faults, heartbeats=site.health.ages())

    return routes


def _description(app: FastAPI) -> APIRouter:
    routes = APIRouter()

    @routes.get("/api/openapi.json", include_in_schema=False, openapi_extra=role("viewer"))
    def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    return routes


def _static() -> Mount:
    """Scripts, styles and pictures, which are the same on every node."""
    mount = Mount("/static", StaticFiles(directory=_STATIC), name="static")
    vars(mount)["openapi_extra"] = role("public")  # read by `role_of`
    return mount


def _not_viewable(request: Request, error: Exception) -> Response:
    return problem(request.headers, 422, str(error))
