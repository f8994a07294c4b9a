"""`/api`: what the page shows, as JSON."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from node.core.version import VERSION
from node.storage.quarantine import Kind
from node.web.roles import identity_of, role
from node.web.routes import (
    actions,
    administration,
    deliveries,
    downloads,
    events,
    listing,
    pulls,
    results,
    uploads,
)
from node.web.routes.answers import detail
from node.web.routes.models import (
    NodeView,
    SeriesDetail,
)
from node.web.routes.series_parameters import Number, Revision, SeriesUID, caching
from node.web.site import Site
from node.web.viewer.routes import add_volumes


def router(site: Site) -> APIRouter:
    """The routes below `/api`.

    Args:
        site: what they read from.
    """
    api = APIRouter(prefix="/api")
    _add_series(api, site)
    add_volumes(api, site)
    for family in (listing, actions, deliveries, downloads, events, uploads, results, pulls,
                   administration):  # fmt: skip
        family.add(api, site)
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
    def file(
        request: Request, uid: SeriesUID, number: Number, revision: Revision = None
    ) -> FileResponse:
        """A published file, under its own name, or under its UID if that identifies the patient."""
        found = site.file(uid, number, revision)[1]
        allowed = site.outputs.shows_names or identity_of(request).identifiers
        name = found.path.name if allowed else f"{uid}_{number}{found.ending}"
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
