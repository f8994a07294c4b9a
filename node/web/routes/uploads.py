"""`POST /api/instances`: DICOM files from a browser or a script, as durable as by C-STORE."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from node.core.statuses import OUT_OF_RESOURCES
from node.web.operations import operator
from node.web.roles import role
from node.web.site import Site
from node.web.upload.intake import Intake, UploadView
from node.web.upload.receiving import Receiving

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "DICOM files, or ZIPs with DICOM files in them.",
                        }
                    },
                    "required": ["files"],
                }
            }
        },
    }
}


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: what takes the files in.
    """
    receiving = Receiving()

    @api.post(
        "/instances",
        response_model=UploadView,
        responses={422: {"model": UploadView}, 507: {"model": UploadView}},
        openapi_extra={**role("operator"), **_BODY},
    )
    async def instances(request: Request) -> Response:
        """Take DICOM files in as if a peer had sent them.

        Status 0 of a file: it is safe, as after a C-STORE response 0x0000. What is no DICOM is
        named and keeps nothing else out. 422: nothing was taken in; 507: for lack of room.
        """
        person = operator(request).name
        operations = site.must_operate()
        kind = request.headers.get("content-type", "")
        found = await receiving.read(
            request,
            lambda: Intake(operations, kind),
            lambda intake: intake.finish(person),
        )
        operations.wake()
        return JSONResponse(found.model_dump(mode="json"), _code(found))


def _code(found: UploadView) -> int:
    if found.stored:
        return 200
    full = any(one.status == OUT_OF_RESOURCES for one in found.files)
    return 507 if full else 422
