"""Parameters of the lists of series and studies."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import HTTPException, Path, Query, Request
from pydantic import StringConstraints

from node.core.records import SeriesState
from node.storage.index.search.finding import Place, Sort
from node.storage.index.search.wanted import LONGEST_TEXT, Wanted
from node.web.roles import identity_of

StudyUID = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="The Study Instance UID.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="The `next` of the previous page.")
]
Title = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,64}$")]
_DATE = r"^(\d{8}(-(\d{8})?)?|-\d{8})?$"


def wanted(
    request: Request,
    search: Annotated[
        str,
        Query(
            max_length=LONGEST_TEXT,
            description="Words that all have to occur in descriptions and UIDs; for whom "
            "`http.auth` lets in also in patient ID, name and accession number.",
        ),
    ] = "",
    state: Annotated[list[SeriesState], Query()] = [],  # noqa: B006  FastAPI copies it
    modality: Annotated[list[Title], Query()] = [],  # noqa: B006
    date: Annotated[
        str,
        Query(
            pattern=_DATE,
            description="Series Date or Study Date: YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or "
            "-YYYYMMDD.",
        ),
    ] = "",
    sender: Annotated[
        list[Title], Query(description="AE title of a peer that sent the series.")
    ] = [],  # noqa: B006
    project: Annotated[
        list[Title], Query(description="AE title of the node that the series was sent to.")
    ] = [],  # noqa: B006
) -> Wanted:
    """What a list is to show. Arguments are the parameters of the request."""
    first, dash, last = date.partition("-")
    return Wanted(
        text="".join(letter if letter.isprintable() else " " for letter in search),
        identifiers=identity_of(request).identifiers,
        states=tuple(dict.fromkeys(state)),
        modalities=tuple(modality),
        first=first,
        last=last if dash else first,
        senders=tuple(sender),
        projects=tuple(project),
    )


def place(cursor: str | None, sort: Sort) -> Place | None:
    """Where the previous page ended.

    Args:
        cursor: the parameter.
        sort: the order of the list.

    Raises:
        HTTPException: 422, the cursor is of no list, or of another order.
    """
    if not cursor:
        return None
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        order, value, pk = found
    except (ValueError, TypeError, binascii.Error):
        order, value, pk = None, "", 0
    whole = isinstance(value, str) and value.isprintable() and isinstance(pk, int)
    if order != sort or not whole or not 0 <= pk < 2**63:
        raise HTTPException(422, "this cursor is not the `next` of a page in the same order")
    return Place(value, pk)


def cursor_of(end: Place | None, sort: Sort) -> str | None:
    """The parameter that leads to the page after a place.

    Args:
        end: where the page ends; None: it is the last one.
        sort: the order of the list.
    """
    if end is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([sort, end.value, end.pk]).encode()).decode()
