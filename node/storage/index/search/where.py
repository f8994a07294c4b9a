"""The conditions of `node.dicom.matching` as SQL: exact, or matching more rows than they should.

SQLite compares text byte by byte and by GLOB, PostgreSQL on columns with collation C and by LIKE.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, text, true

from node.core.query_keys import fold
from node.dicom.matching.conditions import Empty, Name, NamePattern, Number, OneOf, Range, Text
from node.dicom.matching.date_time_ranges import Bounds
from node.dicom.matching.wildcards import Pattern, Wild

_FEW = 50  # values in an IN list; more are passed as one JSON array
_MOST_STARS = 6  # wildcards `*` in a pattern: a database may try every way to place them
_LONGEST_PATTERN = 256  # characters, likewise
_LAST_CHARACTER = chr(0x10FFFF)
_SURROGATES = range(0xD800, 0xE000)
_LARGEST_INTEGER = 2**31 - 1

Column = ColumnElement[Any]
Filter = ColumnElement[bool]


class Where(NamedTuple):
    """A condition as SQL.

    Attributes:
        clause: the condition.
        exact: if not, it selects too many rows, which have to be matched again.
    """

    clause: Filter
    exact: bool = True


def text_is(column: Column, condition: Text | OneOf | Empty, *, sqlite: bool) -> Where:
    """A text column against values or patterns.

    Args:
        column: the column.
        condition: the condition.
        sqlite: whether the index is an SQLite file; else it is PostgreSQL.
    """
    if isinstance(condition, Empty):
        return Where(column == "")
    if isinstance(condition, OneOf):
        return Where(one_of(column, condition.values, sqlite=sqlite))
    return fits(column, condition.patterns, sqlite=sqlite)


def one_of(column: Column, values: Sequence[Any], *, sqlite: bool) -> Filter:
    """A column against values; the statement does not grow with their number.

    Args:
        column: the column.
        values: the values.
        sqlite: whether the index is an SQLite file; else it is PostgreSQL.
    """
    if len(values) == 1:
        return and_(column == values[0])
    if len(values) <= _FEW:
        return column.in_(values)
    array = json.dumps(list(values))
    if sqlite:
        return column.in_(select(text("value")).select_from(func.json_each(array)))
    from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415  loads a whole dialect

    each = func.jsonb_array_elements_text(literal(array).cast(JSONB))
    return column.in_(select(each.cast(column.type)))


def fits(column: Column, patterns: Sequence[Pattern], *, sqlite: bool) -> Where:
    """A text column against patterns.

    Args:
        column: the column.
        patterns: of which one has to match.
        sqlite: whether the index is an SQLite file; else it is PostgreSQL.
    """
    literals = [p.literal for p in patterns if p.literal is not None]
    clauses = [one_of(column, literals, sqlite=sqlite)] if literals else []
    exact = True
    for pattern in patterns:
        if pattern.literal is not None:
            continue
        where = _fits(column, pattern, sqlite=sqlite)
        clauses.append(where.clause)
        exact = exact and where.exact
    return Where(or_(*clauses), exact)


def _fits(column: Column, pattern: Pattern, *, sqlite: bool) -> Where:
    start = begins(column, pattern.prefix)
    if pattern.tokens == (pattern.prefix, Wild.ANY):
        return Where(start)
    long = sum(len(str(token)) for token in pattern.tokens) > _LONGEST_PATTERN
    if long or pattern.stars > _MOST_STARS:
        return Where(start, exact=False)
    if sqlite:
        return Where(and_(start, column.op("GLOB")(_glob(pattern))))
    return Where(and_(start, column.like(_like(pattern), escape="\\")))


def begins(column: Column, prefix: str) -> Filter:
    """A text column against a prefix, as a range, for which an index can be used.

    Args:
        column: the column.
        prefix: the prefix.
    """
    if not prefix:
        return true()
    after = _successor(prefix)
    low = column >= prefix
    return low if after is None else and_(low, column < after)


def range_of(prefix: str) -> tuple[str, str]:
    """The smallest text with a prefix, and the smallest text after all of them.

    Args:
        prefix: not empty, and ends with another character than the last of all.
    """
    after = _successor(prefix)
    if after is None:
        raise ValueError("every text comes before the end of this range")
    return prefix, after


def _successor(prefix: str) -> str | None:
    """The smallest text after every text with the prefix."""
    bare = prefix.rstrip(_LAST_CHARACTER)
    if not bare:
        return None
    code = ord(bare[-1]) + 1
    return bare[:-1] + chr(_SURROGATES.stop if code in _SURROGATES else code)


def _glob(pattern: Pattern) -> str:
    parts = []
    for token in pattern.tokens:
        if isinstance(token, Wild):
            parts.append(token.value)
        else:
            parts.append("".join(f"[{char}]" if char in "*?[" else char for char in token))
    return "".join(parts)


def _like(pattern: Pattern) -> str:
    parts = []
    for token in pattern.tokens:
        if isinstance(token, Wild):
            parts.append("%" if token is Wild.ANY else "_")
        else:
            parts.append("".join(f"\\{char}" if char in "\\%_" else char for char in token))
    return "".join(parts)


def name_is(groups: Sequence[Column], condition: Name | Empty, *, sqlite: bool) -> Where:
    """The three columns of a person's name against patterns.

    Args:
        groups: the columns of the alphabetic, ideographic and phonetic group.
        condition: the condition.
        sqlite: whether the index is an SQLite file; else it is PostgreSQL.
    """
    if isinstance(condition, Empty):
        return Where(and_(*(group == "" for group in groups)))
    found = [_name(groups, pattern, sqlite=sqlite) for pattern in condition.patterns]
    return Where(or_(*(where.clause for where in found)), all(where.exact for where in found))


def _name(columns: Sequence[Column], name: NamePattern, *, sqlite: bool) -> Where:
    """One pattern. The columns have no accents: a key with accents selects too many rows."""
    groups = name.groups
    if name.accents:
        groups = tuple(tuple(p.widened(fold) for p in patterns) for patterns in groups)
    if name.anywhere:
        found = [fits(column, groups[0], sqlite=sqlite) for column in columns]
        clause = or_(*(where.clause for where in found))
    else:
        found = [
            fits(column, patterns, sqlite=sqlite)
            for column, patterns in zip(columns, groups, strict=False)
            if patterns
        ]
        clause = and_(*(where.clause for where in found))
    return Where(clause, not name.accents and all(where.exact for where in found))


def in_range(column: Column, condition: Range) -> Filter:
    """A date or time column against ranges.

    Args:
        column: the column.
        condition: the ranges.
    """
    return or_(*(_between(column, bounds) for bounds in condition.bounds))


def _between(column: Column, bounds: Bounds) -> Filter:
    low = column >= bounds.low if bounds.low is not None else column > ""
    return low if bounds.high is None else and_(low, column <= bounds.high)


def in_combined_range(date: Column, time: Column, dates: Bounds, times: Bounds) -> Filter:
    """A date and a time column, neither of them empty, against one range of date and time.

    Args:
        date: the date column.
        time: the time column.
        dates: bounds of the date.
        times: bounds of the time.
    """
    clauses = [_between(date, dates), time > ""]
    if dates.low is not None:
        clauses.append(or_(date > dates.low, time >= (times.low or "")))
    if dates.high is not None:
        clauses.append(or_(date < dates.high, time <= (times.high or "")))
    return and_(*clauses)


def number_is(column: Column, condition: Number, *, sqlite: bool) -> Filter:
    """An integer column against numbers.

    Args:
        column: the column.
        condition: the numbers.
        sqlite: whether the index is an SQLite file; else it is PostgreSQL.
    """
    return one_of(column, whole(condition.values), sqlite=sqlite)


def whole(values: Iterable[float]) -> list[int]:
    """The numbers that an integer column can hold."""
    return [int(v) for v in values if abs(v) <= _LARGEST_INTEGER and v == int(v)]
