"""`POST /api/series/{uid}/results`: a mask, map or image back into DICOM."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from node.convert.results import Form, Refusal, ResultError, ResultOptions
from node.core.errors import ConfigError, NodeError, Retryable
from node.lifecycle.results.kept import encode
from node.lifecycle.results.making import Kind, Made, make
from node.lifecycle.results.making import Request as Wanted
from node.lifecycle.results.numbers import free_number
from node.lifecycle.results.series import ResultSeries
from node.lifecycle.results.texts import checked_text, read_algorithm
from node.web.operations import Operations, operator
from node.web.roles import role
from node.web.routes.series_parameters import SeriesUID
from node.web.site import Site
from node.web.upload.multipart import BadForm, FormReader, Part
from node.web.upload.receiving import Receiving

_TEXT: Final = {"type": "string"}
_FILE: Final = {"type": "string", "format": "binary"}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {**_FILE, "description": "A NIfTI on the grid of a volume."},
                        "sidecar": {**_FILE, "description": "The JSON beside the image."},
                        "labels": {**_FILE, "description": "What the numbers of a mask mean."},
                        "as": {"type": "string", "enum": [str(kind) for kind in Kind]},
                        "form": {"type": "string", "enum": [str(form) for form in Form]},
                        "units": {**_TEXT, "description": "Of a map, UCUM."},
                        "description": {**_TEXT, "description": "Series Description."},
                        "algorithm": {**_TEXT, "description": "NAME,VERSION; else a person."},
                        "resample": {"type": "string", "enum": ["true", "false"]},
                        "revision": {"type": "integer", "minimum": 1},
                        "send": {
                            **_TEXT,
                            "description": "The peer that gets it; without it the answer has it.",
                        },
                    },
                }
            }
        },
    }
}
_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/dicom": {}, "application/zip": {}}},
    202: {"description": "It is in the outbox for the peer."},
}
_IMAGE: Final = (".nii.gz", ".nii")


class _Fields:
    """Takes the parts of the form. `close` it."""

    def __init__(self, operations: Operations, content_type: str) -> None:
        folder = operations.uploads.folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.texts: dict[str, str] = {}
        self.files: dict[str, Path] = {}
        try:
            self._form = FormReader(
                content_type, self.folder, operations.uploads.minimum_free, self._take
            )
        except BadForm:
            self.close()
            raise
        self.feed = self._form.feed
        self.finish = self._form.finish

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _take(self, part: Part) -> None:
        if part.path is None:
            self.texts[part.name] = part.value.decode(errors="replace").strip()
            return
        target = part.path
        if part.name == "image":
            ending = next((end for end in _IMAGE if (part.filename or "").endswith(end)), ".nii.gz")
            target = self.folder / f"image{ending}"
        elif part.name == "sidecar":
            target = self.folder / "image.json"
        part.path.rename(target)
        self.files[part.name] = target


@dataclass(frozen=True)
class _Order:
    """What is wanted, checked before anything is made."""

    wanted: Wanted
    image: Path
    peer: str


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: that the series are of.
    """
    receiving = Receiving()

    @api.post(
        "/series/{uid}/results",
        response_class=Response,
        responses=_ANSWER,
        openapi_extra={**role("operator"), **_BODY},
    )
    async def results(request: Request, uid: SeriesUID) -> Response:
        """Make a mask, map or image into DICOM on the source slices of a volume.

        With `send` it goes into the outbox for that peer (202), else the answer is the object, or
        a ZIP of several. 422 names what is wrong, such as grid-mismatch.
        """
        operator(request)
        operations = site.must_operate()
        kind = request.headers.get("content-type", "")

        def made(fields: _Fields) -> Response:
            fields.finish()
            return _made(site, operations, uid, fields)

        return await receiving.read(request, lambda: _Fields(operations, kind), made)


def _made(site: Site, operations: Operations, uid: str, fields: _Fields) -> Response:
    try:
        order = _order(operations, fields)
        series = ResultSeries(operations.work, site.archive.root, site.outputs.root, uid)
        number = free_number(operations.work, operations.outbox, series.record.pk)
        options = replace(order.wanted.options, series_number=number)
        made = make(series, order.image, replace(order.wanted, options=options))
    except ResultError as error:
        code = 404 if error.refusal is Refusal.NO_SUCH_SERIES else 422
        raise HTTPException(code, _said(error, fields)) from error
    except Retryable:
        raise
    except (ConfigError, NodeError) as error:
        raise HTTPException(422, _said(error, fields)) from error
    if not order.peer:
        return _object(made)
    operations.results.send_once(series.record, order.peer, made.objects)
    return JSONResponse(
        {
            "as": str(order.wanted.kind),
            "of": series.record.address,
            "series_instance_uid": str(made.objects[0].SeriesInstanceUID),
            "series_number": int(made.objects[0].SeriesNumber),
            "instances": [str(one.SOPInstanceUID) for one in made.objects],
            "send": order.peer,
            "labels_left_out": [
                {"value": label.value, "name": label.name} for label in made.left_out
            ],
        },
        202,
    )


def _said(error: Exception, fields: _Fields) -> str:
    """An error without the folder of the node that the files of the form are in."""
    return str(error).replace(f"{fields.folder}/", "")


def _order(operations: Operations, fields: _Fields) -> _Order:
    texts = fields.texts
    peer, peers = texts.get("send", ""), list(operations.settings.peers())
    if peer and peer not in peers:
        known = ", ".join(peers) or "none is there"
        raise ResultError(Refusal.UNKNOWN_PEER, f"There is no peer {peer!r} ({known}).")
    if "image" not in fields.files:
        raise ConfigError("the form has no file `image`")
    try:
        kind, form = Kind(texts.get("as") or "seg"), Form(texts.get("form") or "binary")
        revision = int(texts["revision"]) if texts.get("revision") else None
    except ValueError as error:
        raise ConfigError(f"as, form or revision: {error}") from error
    options = ResultOptions(
        checked_text(texts.get("description", ""), "description"),
        read_algorithm(texts.get("algorithm") or None, "algorithm"),
    )
    wanted = Wanted(
        kind=kind,
        form=form,
        labels=fields.files.get("labels"),
        units=texts.get("units", ""),
        resample=texts.get("resample") == "true",
        revision=revision,
        options=options,
    )
    return _Order(wanted, fields.files["image"], peer)


def _object(made: Made) -> Response:
    if len(made.objects) == 1:
        (one,) = made.objects
        name, content, kind = f"{one.SOPInstanceUID}.dcm", encode(one), "application/dicom"
    else:
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as packed:
            for each in made.objects:
                packed.writestr(f"{each.SOPInstanceUID}.dcm", encode(each))
        name = f"{made.objects[0].SeriesInstanceUID}.zip"
        content, kind = sink.getvalue(), "application/zip"
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
