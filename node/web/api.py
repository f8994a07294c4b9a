"""`/api`: what the page shows, as JSON."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse

from node.core.version import VERSION
from node.storage.quarantine import Kind
from node.web.answers import detail, volume_view
from node.web.models import (
    NodeView,
    SeriesDetail,
    VolumeView,
    Voxel,
)
from node.web.output_files import OutputFile
from node.web.parameters import SeriesUID
from node.web.roles import identity_of, role
from node.web.routes import actions, downloads, events, listing, pulls, results, uploads
from node.web.site import Site
from node.web.volumes import Volume
from node.web.voxel_source import source_of

Number = Annotated[int, Path(ge=0, description="The number of the file in the list of the series.")]
Revision = Annotated[
    int | None, Query(ge=0, description="Answer 409 unless this is the current revision.")
]
_UNCHANGING = "private, max-age=86400, immutable"
_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}


def router(site: Site) -> APIRouter:
    """The routes below `/api`.

    Args:
        site: what they read from.
    """
    api = APIRouter(prefix="/api")
    _add_series(api, site)
    _add_volumes(api, site)
    for family in (listing, actions, downloads, events, uploads, results, pulls):
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
        found = _file(site, uid, number, revision)
        allowed = site.outputs.shows_names or identity_of(request).identifiers
        name = found.path.name if allowed else f"{uid}_{number}{found.ending}"
        return FileResponse(
            found.path,
            media_type=found.media_type,
            filename=name,
            content_disposition_type="inline" if found.media_type == "image/png" else "attachment",
            headers=_caching(revision),
        )


def _add_volumes(api: APIRouter, site: Site) -> None:
    """What the viewer shows."""

    @api.get("/series/{uid}/volumes/{number}", openapi_extra=role("viewer"))
    def volume(uid: SeriesUID, number: Number, revision: Revision = None) -> VolumeView:
        """The geometry of a volume, and the first window of its viewer."""
        row = site.row(uid)
        return volume_view(_volume(site, uid, number, revision), row["modality"], row["revision"])

    @api.get(
        "/series/{uid}/volumes/{number}/slice",
        responses=_PICTURE,
        response_class=Response,
        openapi_extra=role("viewer"),
    )
    def picture(
        uid: SeriesUID,
        number: Number,
        axis: Annotated[
            int, Query(ge=0, le=2, description="The axis across the slice: 0 (i), 1 (j) or 2 (k).")
        ],
        index: Annotated[int, Query(ge=0)],
        low: Annotated[float, Query(description="The value that is drawn black.")],
        high: Annotated[float, Query(description="The value that is drawn white.")],
        time: Annotated[int, Query(ge=0)] = 0,
        revision: Revision = None,
    ) -> Response:
        """One slice as PNG, one pixel a voxel, in radiological orientation."""
        if not low < high:
            raise HTTPException(422, "low must be less than high")
        found = _volume(site, uid, number, revision)
        drawn = found.picture(axis, index, time, low, high)
        return Response(drawn, media_type="image/png", headers=_caching(revision))

    @api.get("/series/{uid}/volumes/{number}/voxel", openapi_extra=role("viewer"))
    def voxel(
        uid: SeriesUID,
        number: Number,
        i: Annotated[int, Query(ge=0)],
        j: Annotated[int, Query(ge=0)],
        k: Annotated[int, Query(ge=0)],
        time: Annotated[int, Query(ge=0)] = 0,
        revision: Revision = None,
    ) -> Voxel:
        """The value of a voxel, its RAS coordinates, and the instance that it came from."""
        found = _file(site, uid, number, revision)
        value, place = site.cache.get(found.path).voxel(i, j, k, time)
        return Voxel(
            value=[each if isfinite(each) else None for each in value],
            ras=(place[0], place[1], place[2]),
            source=_source(site, uid, found, (i, j, k), time),
        )


def _by_kind(site: Site) -> dict[Kind, int]:
    left = site.quarantine.left()
    return {kind: sum(one.files for one in left if one.kind is kind) for kind in Kind}


def _file(site: Site, uid: str, number: int, revision: int | None) -> OutputFile:
    row = site.row(uid)
    if revision is not None and revision != row["revision"]:
        raise HTTPException(409, f"the current revision is {row['revision']}")
    for found in site.outputs.files(row["outputs"]):
        if found.number == number:
            site.published.check(row["id"], found.path)
            return found
    raise HTTPException(404, "the series has no file of this number")


def _source(
    site: Site, uid: str, volume: OutputFile, voxel: tuple[int, int, int], time: int
) -> str | None:
    """The instance that a voxel came from, if the manifest is undamaged."""
    site.published.check(site.row(uid)["id"], volume.manifest)
    return source_of(volume.manifest, voxel, time)


def _volume(site: Site, uid: str, number: int, revision: int | None) -> Volume:
    return site.cache.get(_file(site, uid, number, revision).path)


def _caching(revision: int | None) -> dict[str, str]:
    return {"Cache-Control": _UNCHANGING if revision is not None else "no-store"}
