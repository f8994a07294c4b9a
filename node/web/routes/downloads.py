"""Archived instances, and a whole series or study as one ZIP."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import FileResponse, StreamingResponse

from node.core.records import StoredInstance, address_of
from node.lifecycle.verification.damage_reporter import expected
from node.storage.index.search.search import Sendable
from node.storage.integrity import Damage, check_archived
from node.web.files.zip_stream import Member, zip_of
from node.web.roles import identity_of, role
from node.web.routes.list_parameters import StudyUID
from node.web.routes.series_parameters import SeriesUID
from node.web.site import Site

_MOST_AT_ONCE: Final = 4
_MOST_SERIES: Final = 2000  # of a study
_ZIP: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/zip": {}}}}
_DICOM: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/dicom": {}}}}
_InstanceUID = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="The SOP Instance UID.")]


class Content(StrEnum):
    """What a ZIP has in it."""

    VOLUMES = "volumes"
    DICOM = "dicom"


_What = Annotated[
    Content, Query(description="volumes: the published files; dicom: the archived instances.")
]


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: whose files are sent.
    """
    slots = threading.BoundedSemaphore(_MOST_AT_ONCE)

    @api.get(
        "/series/{uid}/instances/{instance}",
        responses=_DICOM,
        response_class=FileResponse,
        openapi_extra=role("viewer"),
    )
    def instance(request: Request, uid: SeriesUID, instance: _InstanceUID) -> FileResponse:
        """An archived instance as a DICOM file: the data set is byte for byte what was received.

        Its headers identify the patient, so that it needs `http.auth`.
        """
        _must_identify(request)
        found = site.work.instance(site.row(uid)["id"], instance)
        if found is None:
            raise HTTPException(404, "the series has no instance of this UID")
        _check(site, found)
        return FileResponse(
            site.archive.root / found.path,
            media_type="application/dicom",
            filename=f"{found.sop_instance_uid}.dcm",
            headers={"Cache-Control": "no-store"},
        )

    @api.get(
        "/series/{uid}/zip",
        responses=_ZIP,
        response_class=StreamingResponse,
        openapi_extra=role("viewer"),
    )
    def series_zip(
        request: Request, uid: SeriesUID, what: _What = Content.VOLUMES
    ) -> StreamingResponse:
        """A series as ZIP; the files of a volume stay beside each other, as BIDS has them."""
        return _send(site, slots, request, [site.row(uid)], what, uid.replace("~", "_"))

    @api.get(
        "/studies/{uid}/zip",
        responses=_ZIP,
        response_class=StreamingResponse,
        openapi_extra=role("viewer"),
    )
    def study_zip(
        request: Request, uid: StudyUID, what: _What = Content.VOLUMES
    ) -> StreamingResponse:
        """All series of a study as ZIP."""
        studies = site.finder.studies_of(uid)
        if not studies:
            raise HTTPException(404, "there is no study of this UID")
        if len(studies) > 1:
            raise HTTPException(
                409, "two patients have a study of this UID; download its series one by one"
            )
        keys = site.finder.series_of(studies[0], _MOST_SERIES)
        return _send(site, slots, request, site.latest.of(keys), what, uid)


def _send(
    site: Site,
    slots: threading.BoundedSemaphore,
    request: Request,
    rows: Sequence[Mapping[str, Any]],
    what: Content,
    name: str,
) -> StreamingResponse:
    if what is Content.DICOM:
        _must_identify(request)
        members = _instances(site, rows)
    else:
        names = site.outputs.shows_names or identity_of(request).identifiers
        members = _volumes(site, rows, names=names)
        if not any(row["outputs"] for row in rows):
            raise HTTPException(404, "there is no volume yet")
    if not slots.acquire(blocking=False):
        raise HTTPException(
            503, f"{_MOST_AT_ONCE} ZIPs are being sent; try again later", {"Retry-After": "10"}
        )
    return StreamingResponse(
        _released(zip_of(members), slots),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.zip"',
            "Cache-Control": "no-store",
        },
    )


def _released(chunks: Iterator[bytes], slots: threading.BoundedSemaphore) -> Iterator[bytes]:
    try:
        yield from chunks
    finally:
        slots.release()


def _volumes(site: Site, rows: Sequence[Mapping[str, Any]], *, names: bool) -> Iterator[Member]:
    for row in rows:
        address = address_of(row["series_instance_uid"], row["part"]).replace("~", "_")
        stems: dict[str, int] = {}
        for file in site.outputs.files(row["outputs"]):
            site.published.check(row["id"], file.path)
            number = stems.setdefault(str(file.path.parent / file.stem), len(stems))
            own = file.path.relative_to(site.outputs.root).as_posix()
            hidden = f"{address}/{address}_{number}{file.ending}"
            yield Member(own if names else hidden, file.path)


def _instances(site: Site, rows: Sequence[Mapping[str, Any]]) -> Iterator[Member]:
    for row in rows:
        address = address_of(row["series_instance_uid"], row["part"]).replace("~", "_")
        for one in site.work.instances(row["id"]):
            if not one.conflict:
                _check(site, one)
                path = site.archive.root / one.path
                yield Member(f"{address}/{one.sop_instance_uid}.dcm", path)


def _check(site: Site, instance: StoredInstance) -> None:
    """Check that the archived file is what was received.

    Raises:
        HTTPException: 503, it is damaged.
    """
    kept = Sendable(
        instance.sop_instance_uid,
        instance.sop_class_uid,
        instance.transfer_syntax_uid,
        instance.path,
        instance.size,
        instance.sha256,
        instance.data_set_offset,
        instance.crc32,
    )
    try:
        check_archived(site.archive.root / instance.path, expected(kept))
    except Damage as damage:
        site.damage_found(kept)
        raise HTTPException(503, f"{damage.reason}: {damage.sentence}") from damage


def _must_identify(request: Request) -> None:
    if not identity_of(request).identifiers:
        raise HTTPException(
            403, "DICOM files identify the patient: they are only for whom http.auth lets in"
        )
