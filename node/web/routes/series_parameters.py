"""Parameters that several routes have, and how long their answers may be kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

SeriesUID = Annotated[
    str,
    Path(
        pattern=r"^[0-9.]{1,64}(~[0-9]{1,8})?$",
        description="The Series Instance UID. If several series have the same UID, it names "
        "the first; use the `address` of the others, such as 1.2.3~1.",
    ),
]
Number = Annotated[int, Path(ge=0, description="The number of the file in the list of the series.")]
Revision = Annotated[
    int | None, Query(ge=0, description="Answer 409 unless this is the current revision.")
]
_UNCHANGING = "private, max-age=86400, immutable"


def caching(revision: int | None) -> dict[str, str]:
    """The header by which a browser keeps what belongs to one revision.

    Args:
        revision: that the request names; without one the answer may change.
    """
    return {"Cache-Control": _UNCHANGING if revision is not None else "no-store"}
