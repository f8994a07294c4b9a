"""`/api`: what the page shows, as JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from node.core.records import SeriesState
from node.core.version import VERSION
from node.storage.quarantine import Kind
from node.web.answers import detail, summary
from node.web.models import (
    NodeView,
    SeriesDetail,
    SeriesPage,
)
from node.web.roles import role
from node.web.series_parameters import Number, Revision, SeriesUID, caching
from node.web.site import Site
from node.web.viewer.routes import add_volumes

_LAST_ROW = 2**63 - 1  # the largest row number of a database


def router(site: Site) -> APIRouter:
    """The routes below `/api`.

    Args:
        site: what they read from.
    """
    api = APIRouter(prefix="/api")
    _add_series(api, site)
    add_volumes(api, site)
    return api


def _add_series(api: APIRouter, site: Site) -> None:
    """The node, the series and their files."""

    @api.get("/node", openapi_extra=role("viewer"))
    def node() -> NodeView:
        """The node: AE title, port, numbers of series and instances, free disk space."""
        totals = site.totals()
        return NodeView(
            version=VERSION,
            ae_title=site.ae_title,
            port=site.dicom_port(),
            free_bytes=site.archive.free_bytes(),
            minimum_free=site.minimum_free,
            quarantine=_by_kind(site),
            damaged=sum(site.damages.count().values()),
            **{name: totals[name] for name in ("instances", "series", "studies", "conflicts")},
        )

    @api.get("/series", openapi_extra=role("viewer"))
    def series(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[
            int | None,
            Query(ge=0, le=_LAST_ROW, description="The `before` of the previous page."),
        ] = None,
        state: Annotated[list[SeriesState], Query()] = [],  # noqa: B006  FastAPI copies it
    ) -> SeriesPage:
        """A page of series, the newest first."""
        rows = site.latest.series(limit, before=before, states=state)
        totals = site.totals()
        shares = site.namesakes.of([row["id"] for row in rows])
        return SeriesPage(
            series=[summary(row, site.outputs, shares.get(row["id"], ())) for row in rows],
            before=rows[-1]["id"] if len(rows) == limit else None,
            states={each: totals.get(f"series_{each}", 0) for each in SeriesState},
        )

    @api.get("/series/{uid}", openapi_extra=role("viewer"))
    def one(uid: SeriesUID) -> SeriesDetail:
        """One series with its evidence, files, associations and history."""
        row = site.row(uid)
        pk = row["id"]
        return detail(
            row,
            site.outputs,
            site.work.arrivals(pk),
            site.work.history(pk),
            site.namesakes.of([pk]).get(pk, ()),
            [str(one) for one in site.damages.all(series=[pk])],
        )

    @api.get("/series/{uid}/files/{number}", openapi_extra=role("viewer"))
    def file(uid: SeriesUID, number: Number, revision: Revision = None) -> FileResponse:
        """A published file. The name of the download never identifies the patient."""
        found = site.file(uid, number, revision)[1]
        name = f"{uid}_{number}{found.ending}"
        return FileResponse(
            found.path,
            media_type=found.media_type,
            filename=name,
            content_disposition_type="inline" if found.media_type == "image/png" else "attachment",
            headers=caching(revision),
        )


def _by_kind(site: Site) -> dict[Kind, int]:
    left = site.quarantine.left()
    return {kind: sum(one.files for one in left if one.kind is kind) for kind in Kind}
