"""What `status` prints for people: some series, and how much there is of everything."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Column
from rich.text import Text

from node.cli.output.tables import Console, Table
from node.core.records import SeriesState

_TABLE_WIDTH: Final = 150
_PIPE_WIDTH: Final = 200


@dataclass(frozen=True, slots=True)
class Overview:
    """What is printed.

    Attributes:
        series: those that are printed one by one, oldest first.
        totals: as `index.listing.Listing.totals`.
        free: bytes free for the archive.
        deliveries: as `cli.series.formatting.deliveries`.
        warnings: further lines, each about something to look at.
    """

    series: list[dict[str, Any]]
    totals: dict[str, int]
    free: int
    deliveries: dict[str, Any]
    warnings: list[str]


def show(overview: Overview, *, everything: bool, cut: bool) -> None:
    """Print an overview.

    Args:
        everything: whether no option chose the series.
        cut: whether more series may match the options than are printed.
    """
    console = _console()
    if console.width < _TABLE_WIDTH:
        _print_lines(console, overview.series)
    else:
        _print_table(console, overview.series)
    _print_totals(console, overview)
    left_out = overview.totals["series"] - len(overview.series)
    if everything and left_out > 0:
        console.print(
            f"{_several(left_out, 'series', 'series')} not shown: --state, --study, --since or "
            "--limit choose, --json prints all",
            highlight=False,
            soft_wrap=True,
        )
    elif cut:
        console.print("there may be more series that match: --limit shows more", highlight=False)
    for row in overview.series:
        if row["why"]:
            console.print(Text(f"{row['address']}: {row['why']}"), soft_wrap=True)
        for shares in row["shares"]:
            console.print(Text(f"{row['address']}: {shares['sentence']}"), soft_wrap=True)
    for warning in overview.warnings:
        console.print(Text(warning), soft_wrap=True)
    _print_deliveries(console, overview.deliveries)


def _print_totals(console: Console, overview: Overview) -> None:
    totals = overview.totals
    console.print(
        f"{_several(totals['instances'], 'instance')} in {totals['series']} series, "
        f"{_several(totals['studies'], 'study', 'studies')}, "
        f"{_several(totals['patients'], 'patient')}; "
        f"{_several(totals['conflicts'], 'conflict')}; "
        f"{totals['bytes'] / 2**30:.1f} GiB stored, {overview.free / 2**30:.1f} GiB free",
        highlight=False,
        soft_wrap=True,
    )
    states = [(state, totals.get(f"series_{state}", 0)) for state in SeriesState]
    by_state = ", ".join(f"{count} {state}" for state, count in states if count)
    if by_state:
        console.print(f"series by state: {by_state}", highlight=False, soft_wrap=True)


def _print_deliveries(console: Console, outbox: dict[str, Any]) -> None:
    if outbox["counts"]["pending"]:
        console.print(f"pending deliveries: {outbox['counts']['pending']}", highlight=False)
    for dead in outbox["dead"]:
        console.print(
            Text(
                f"{dead['address']}: {dead['event']} was not delivered to {dead['target']}: "
                f"{dead['error']}; `rasnode retry {dead['address']}` tries again"
            )
        )


def _console() -> Console:
    """As wide as the terminal; wide enough for every column where the output is no terminal."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PIPE_WIDTH if piped else None)


def _several(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _print_table(console: Console, series: list[dict[str, Any]]) -> None:
    table = Table(
        Column("series", no_wrap=True),
        *("modality", "no.", "description", "instances", "state", "by", "verdict", "rev"),
    )
    for row in series:
        cells = (
            row["address"], row["modality"], row["number"], row["description"],
            row["instances"], row["state"], row["by"], row["verdict"] or "", row["revision"],
        )  # fmt: skip
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    console.print(table)


def _print_lines(console: Console, series: list[dict[str, Any]]) -> None:
    """For a narrow terminal: a table would cut the UIDs, which other commands need."""
    for row in series:
        number = "" if row["number"] is None else str(row["number"])
        named = " ".join(filter(None, (row["modality"], number, row["description"])))
        details = (
            _several(row["instances"], "instance"),
            row["state"],
            row["verdict"],
            f"revision {row['revision']}",
        )
        console.print(Text(row["address"]), soft_wrap=True)
        console.print(Text(f"  {named}: {', '.join(filter(None, details))}"), soft_wrap=True)
