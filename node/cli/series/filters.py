"""`--state`, `--study`, `--since` and `--limit`: which series a command shows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Annotated, Final

import typer

from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.search.selection import Selection, Selector

NEWEST: Final = 50
"""Series that are shown without options, in addition to those that are not ready."""
MOST_UNREADY: Final = 200
"""Series that are not ready, and series that match a filter, without `--limit`."""
UNREADY: Final = (
    SeriesState.RECEIVING,
    SeriesState.SETTLED,
    SeriesState.ASSEMBLING,
    SeriesState.HELD,
    SeriesState.FAILED,
)
"""In progress, or waiting for a person. A series that is not a volume needs nothing from anyone."""

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def moment(text: str) -> float:
    """Seconds since 1970 of a date, a date with time, or a span before now such as `2h`.

    Raises:
        typer.BadParameter: the text is none of these.
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
    typer.Option("--state", help="Show only series in this state. May be repeated."),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="STUDY_UID", help="Show only this study's series.")
]
SinceOption = Annotated[
    float | None,
    typer.Option(
        "--since",
        metavar="TIME",
        parser=moment,
        help="Show only series that received an instance since TIME: "
        "2026-01-31, 2026-01-31T08:30, 30m, 2h or 7d.",
    ),
]
MOST_ROWS = 2**31 - 1
"""What every database takes as a limit."""
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, max=MOST_ROWS, help="Show at most this many, the last changed ones."
    ),
]


def selection(
    states: list[SeriesState] | None, study: str | None, since: float | None, limit: int | None
) -> Selection:
    """What the options ask for.

    Args:
        states: only series in one of these; none or empty: in any.
        study: only series of this Study Instance UID.
        since: only series that received an instance then or later, seconds since 1970.
        limit: at most so many.
    """
    return Selection(tuple(dict.fromkeys(states or ())), study, since, limit)


def shown_series(index: Index, asked: Selection) -> Iterator[list[int]]:
    """Keys of the series that a person is shown: not more than can be looked at.

    Args:
        asked: what the options ask for; without options the newest series and those that are
            not ready.
    """
    selector = Selector(index)
    if asked.is_filter or asked.limit is not None:
        yield from selector.series(replace(asked, limit=asked.limit or MOST_UNREADY))
        return
    unready = selector.series(Selection(states=UNREADY, limit=MOST_UNREADY))
    newest = selector.series(Selection(limit=NEWEST))
    yield sorted(set(chain.from_iterable(chain(unready, newest))))
