"""Tables of a BIDS dataset (scans, sessions, participants). What a person wrote into them stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

NOT_KNOWN: Final = "n/a"
Cells = Mapping[str, str]


class UnreadableTable(ValueError):
    """A table without the column that names its rows."""


def updated(
    text: str,
    key: str,
    added: Mapping[str, Cells],
    renamed: Mapping[str, str] | None = None,
    removed: Collection[str] = (),
) -> str:
    """Return a table with rows added, renamed and removed.

    A cell that has a value is never changed, and a row in which a person has written something is
    never removed. Rows are in the order of their names, so that the order of arrival does not
    matter.

    Args:
        text: the table; empty if there is none yet.
        key: the column that names the rows.
        added: names of rows -> their other cells.
        renamed: old name -> new name; all at once, so that two rows can change names.
        removed: names of rows.

    Raises:
        UnreadableTable: it has no such column.
    """
    header, rows = _parsed(text, key)
    if not header:
        columns = dict.fromkeys(column for cells in added.values() for column in cells)
        header = [key, *columns]
    moved = {new: rows.pop(old) for old, new in (renamed or {}).items() if old in rows}
    rows |= {new: {**rows.get(new, {}), **row, key: new} for new, row in moved.items()}
    own = {column for cells in added.values() for column in cells} | {key, "acq_time"}
    for name in removed:
        if name in rows and name not in added and _is_unwritten(rows[name], own):
            del rows[name]
    for name, cells in added.items():
        row = rows.setdefault(name, {key: name})
        for column, value in cells.items():
            if column in header and row.get(column, NOT_KNOWN) == NOT_KNOWN:
                row[column] = value
    lines = ["\t".join(header)]
    lines += ["\t".join(rows[name].get(one, NOT_KNOWN) for one in header) for name in sorted(rows)]
    return "\n".join(lines) + "\n"


def _parsed(text: str, key: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    lines = [line for line in text.removeprefix("\ufeff").splitlines() if line.strip()]
    if not lines:
        return [], {}
    header = lines[0].split("\t")
    if key not in header:
        raise UnreadableTable(f"its first line has no column {key}")
    rows: dict[str, dict[str, str]] = {}
    for line in lines[1:]:
        row = dict(zip(header, line.split("\t"), strict=False))
        rows[row.get(key, "")] = row
    return header, rows


def _is_unwritten(row: Mapping[str, str], own: set[str]) -> bool:
    return all(value in {"", NOT_KNOWN} for column, value in row.items() if column not in own)
