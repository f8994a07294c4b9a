"""`--state`, `--study`, `--since` and `--limit`: which series a command speaks of."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated, Final

import typer

from node.core.records import SeriesState
from node.storage.index.search.selection import Selection

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def moment(text: str) -> float:
    """Seconds since 1970 of a date, a date with time, or a span before now such as `2h`.

    Raises:
        typer.BadParameter: it is none of these.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return time.time() - float(span[1]) * _SECONDS[span[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise typer.BadParameter(
            "give a date (2026-01-31), a date with time (2026-01-31T08:30), both in local time, "
            "or a span such as 30m, 2h or 7d"
        ) from error


StateOption = Annotated[
    list[SeriesState] | None,
    typer.Option("--state", help="Only series in this state; repeatable."),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="STUDY_UID", help="Only series of this study.")
]
SinceOption = Annotated[
    float | None,
    typer.Option(
        "--since",
        metavar="TIME",
        parser=moment,
        help="Only series that got an instance since: a date, 2026-01-31T08:30, 30m, 2h, 7d.",
    ),
]
MOST_ROWS = 2**31 - 1
"""What every database takes as a limit."""
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, max=MOST_ROWS, help="Only so many, those that changed last."),
]


def selection(
    states: list[SeriesState] | None, study: str | None, since: float | None, limit: int | None
) -> Selection:
    """What the options ask for."""
    return Selection(tuple(dict.fromkeys(states or ())), study, since, limit)
