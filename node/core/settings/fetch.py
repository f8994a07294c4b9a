"""How studies may be fetched from a peer: `dicom.peers[].fetch`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from node.core.fetch_limits import Rate, Window


def _check_rate(text: str) -> str:
    Rate.parse(text)
    return text


def _check_window(text: str) -> str:
    Window.parse(text)
    return text


class FetchSettings(BaseModel):
    """What the peer bears; no job exceeds it.

    Attributes:
        parallel: associations that retrieve at once.
        rate: `N/min` (instances) or `N MiB/s`; None: no limit.
        window: local time `HH:MM-HH:MM` in which it may be asked to send; None: always.
        by: C-MOVE or C-GET; auto: C-MOVE, and C-GET where the peer refuses to move.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parallel: Annotated[int, Field(ge=1, le=16)] = 4
    rate: Annotated[str, AfterValidator(_check_rate)] | None = None
    window: Annotated[str, AfterValidator(_check_window)] | None = None
    by: Literal["auto", "move", "get"] = "auto"
