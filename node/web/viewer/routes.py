"""What the viewer shows: `/api/series/{uid}/volumes/…`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Header, HTTPException, Query, Response

from node.assemble.volumes.preview import SOFT_TISSUE
from node.web.files.output_files import OutputFile
from node.web.roles import role
from node.web.routes.series_parameters import Number, Revision, SeriesUID, caching
from node.web.site import Site
from node.web.viewer.drawing import values_type
from node.web.viewer.manifests import Label, Proof
from node.web.viewer.messages import Asked, Geometry, plane_axes
from node.web.viewer.models import LabelMapView, LabelView, Plane, VolumeView, Voxel

_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
_BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
_NAMES: Final[dict[str, Literal["sagittal", "coronal", "axial"]]] = {
    "R": "sagittal", "L": "sagittal", "A": "coronal", "P": "coronal", "S": "axial", "I": "axial",
}  # fmt: skip
Axis = Annotated[
    int, Query(ge=0, le=2, description="The axis across the slice: 0 (i), 1 (j) or 2 (k).")
]
Place = Annotated[int, Query(ge=0)]


def add_volumes(api: APIRouter, site: Site) -> None:
    """The routes of the viewer.

    Args:
        api: to add them to.
        site: what they read from.
    """
    _add_descriptions(api, site)
    _add_slices(api, site)


def _add_descriptions(api: APIRouter, site: Site) -> None:
    """Geometry, labels and voxels."""

    @api.get("/series/{uid}/volumes/{number}", openapi_extra=role("viewer"))
    def volume(uid: SeriesUID, number: Number, revision: Revision = None) -> VolumeView:
        """The geometry of a volume, its labels, and the first window of its viewer."""
        row, file = site.file(uid, number, revision)
        head, _ = site.viewer(Asked(str(file.path), "geometry"))
        assert head.geometry is not None  # noqa: S101  the answer to this question
        proof = site.label_maps.proof(row, file)
        return _view(site, row, head.geometry, proof)

    @api.get("/series/{uid}/volumes/{number}/labels", openapi_extra=role("viewer"))
    def labels(uid: SeriesUID, number: Number, revision: Revision = None) -> list[LabelMapView]:
        """The label maps on the grid of a volume, such as segmentations and structure sets."""
        row, file = site.file(uid, number, revision)
        return [
            LabelMapView(
                series=one.series, name=one.name, volume=one.volume, labels=_labels(one.labels)
            )
            for one in site.label_maps.over(row, file)
        ]

    @api.get("/series/{uid}/volumes/{number}/voxel", openapi_extra=role("viewer"))
    def voxel(
        uid: SeriesUID,
        number: Number,
        i: Place,
        j: Place,
        k: Place,
        time: Place = 0,
        revision: Revision = None,
    ) -> Voxel:
        """The value of a voxel, its RAS coordinates, and the instance that it came from."""
        row, file = site.file(uid, number, revision)
        head, _ = site.viewer(Asked(str(file.path), "voxel", voxel=(i, j, k), time=time))
        assert head.geometry is not None  # noqa: S101  the answer to this question
        place = (np.array(head.geometry.affine) @ [i, j, k, 1.0]).tolist()
        proof = site.label_maps.proof(row, file)
        return Voxel(
            value=head.values,
            ras=(place[0], place[1], place[2]),
            source=None if proof is None else proof.source_of((i, j, k), time),
        )


def _add_slices(api: APIRouter, site: Site) -> None:
    """Slices as pictures and as numbers."""

    @api.get(
        "/series/{uid}/volumes/{number}/slice",
        responses=_PICTURE,
        response_class=Response,
        openapi_extra=role("viewer"),
    )
    def picture(
        uid: SeriesUID,
        number: Number,
        axis: Axis,
        index: Place,
        low: Annotated[float, Query(description="The value that is drawn black.")],
        high: Annotated[float, Query(description="The value that is drawn white.")],
        time: Place = 0,
        revision: Revision = None,
    ) -> Response:
        """One slice as PNG, one pixel a voxel, in radiological orientation."""
        if not (low < high and isfinite(low) and isfinite(high)):
            raise HTTPException(422, "low must be less than high")
        file = site.file(uid, number, revision)[1]
        asked = Asked(_path(file), "png", axis, index, time, low, high)
        return Response(site.viewer(asked)[1], media_type="image/png", headers=caching(revision))

    @api.get(
        "/series/{uid}/volumes/{number}/values",
        responses=_BYTES,
        response_class=Response,
        openapi_extra=role("viewer"),
    )
    def values(
        uid: SeriesUID,
        number: Number,
        axis: Axis,
        index: Place,
        time: Place = 0,
        revision: Revision = None,
        accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Response:
        """The numbers of one slice, row by row in radiological orientation.

        Their type is `values` of the volume; value = number × slope + intercept.
        """
        packed = "gzip" in accept_encoding
        file = site.file(uid, number, revision)[1]
        _, body = site.viewer(Asked(_path(file), "values", axis, index, time, packed=packed))
        headers = {**caching(revision), "Vary": "Accept-Encoding"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type="application/octet-stream", headers=headers)


def _path(file: OutputFile) -> str:
    return str(file.path)


def _view(
    site: Site, row: Mapping[str, Any], geometry: Geometry, proof: Proof | None
) -> VolumeView:
    labels = () if proof is None else proof.labels
    return VolumeView(
        shape=geometry.shape,
        spacing=geometry.spacing,
        repetition=geometry.repetition,
        affine=geometry.affine,
        oblique=geometry.oblique,
        modality=row["modality"],
        colour=geometry.is_colour,
        window=SOFT_TISSUE if row["modality"] == "CT" else geometry.window,
        planes=[_plane(geometry, axis) for axis in (2, 1, 0)],
        revision=row["revision"],
        values=values_type(geometry),
        slope=geometry.slope,
        intercept=geometry.intercept,
        labels=_labels(labels),
        labelled=None if proof is None else site.label_maps.under(row, proof),
    )


def _plane(geometry: Geometry, axis: int) -> Plane:
    across, up = plane_axes(axis)
    return Plane(
        name=_NAMES[geometry.letters[axis]],
        axis=axis,
        slices=geometry.shape[axis],
        width=geometry.shape[across],
        height=geometry.shape[up],
        pixel_width=geometry.spacing[across],
        pixel_height=geometry.spacing[up],
        edges=geometry.edges(axis),
    )


def _labels(labels: Sequence[Label]) -> list[LabelView]:
    return [LabelView(value=one.value, name=one.name, colour=one.colour) for one in labels]
