"""The list of what is to be fetched: a CSV file whose header names DICOM keywords."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from node.core.errors import ConfigError
from node.dimse.pull.question import COLUMNS, BadKey, check_key

_DELIMITERS: Final = (",", ";", "\t")
_MOST_ROWS: Final = 100_000
_LARGEST: Final = 64 << 20  # bytes


def read_list(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Read a list.

    Commas, semicolons and tabs part the values; a byte order mark and empty lines are passed
    over. Text is UTF-8.

    Args:
        path: of the file.

    Returns:
        of each row the line, the header being 1, and what it asks for by keyword.

    Raises:
        ConfigError: the file or a line of it cannot be used; the text names the line.
    """
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header: list[str] | None = None
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        for values in reader:
            line = reader.line_num
            if not values or values == [""]:
                continue
            if header is None:
                header = _header(path, values)
                continue
            rows.append((line, _row(path, line, header, values)))
            if len(rows) > _MOST_ROWS:
                raise ConfigError(f"{path} has more than {_MOST_ROWS} rows; part it")
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}") from error
    if header is None:
        raise ConfigError(f"{path} is empty; its first line names columns: {', '.join(COLUMNS)}")
    if not rows:
        raise ConfigError(f"{path} has a header and no row below it")
    return rows


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is larger than {_LARGEST >> 20} MiB, which no list is")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line}: this is not UTF-8; save the file as CSV in UTF-8"
        ) from error


def _delimiter(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=first.count)


def _header(path: Path, values: list[str]) -> list[str]:
    names = [value.strip() for value in values]
    known = f"the columns of a list are {', '.join(COLUMNS)}"
    if not set(names) & set(COLUMNS):
        raise ConfigError(f"{path}, line 1: a header is missing; {known}")
    for name in names:
        if name not in COLUMNS:
            raise ConfigError(f"{path}, line 1: there is no column {name!r}; {known}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}, line 1: a column is named twice")
    return names


def _row(path: Path, line: int, header: list[str], values: list[str]) -> dict[str, str]:
    if len(values) != len(header):
        raise ConfigError(
            f"{path}, line {line}: {len(values)} values for {len(header)} columns; "
            "put a value that holds the separator in double quotes"
        )
    query = {
        name: value.strip() for name, value in zip(header, values, strict=True) if value.strip()
    }
    if not query:
        raise ConfigError(f"{path}, line {line}: no value; this would ask for every study")
    for keyword, value in query.items():
        _check(path, line, keyword, value)
    return query


def _check(path: Path, line: int, keyword: str, value: str) -> None:
    try:
        check_key(keyword, value)
    except BadKey as error:
        raise ConfigError(f"{path}, line {line}: {error}") from error
