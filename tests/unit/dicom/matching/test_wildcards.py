"""Wildcards (PS3.4 C.2.2.2.4)."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.query_keys import fold
from node.dicom.matching.wildcards import Wild, parse, without_empty_end


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("ABC", "ABC", True),
        ("ABC", "abc", False),
        ("A*", "A", True),
        ("A*", "ABC", True),
        ("*C", "ABC", True),
        ("A*C", "ABBC", True),
        ("A?C", "ABC", True),
        ("A?C", "AC", False),
        ("A?", "A", False),
        ("*", "", True),
        ("?ó??", "Żółć", True),
        ("50%*", "50%_X", True),
        ("50%*", "50aX", False),
        ("[5]*", "[5]0", True),
        ("[5]*", "50", False),
        ("a.c", "abc", False),
        ("A*B*A", "ABA", True),
        ("A*B*A", "AB", False),
        ("*\n*", "a\nb", True),
    ],
)
def test_what_fits(pattern: str, text: str, fits: bool) -> None:
    assert parse(pattern).matches(text) is fits


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_stars_find_every_way_to_fit(pattern: str, text: str) -> None:
    assert parse(pattern).matches(text) is fnmatch.fnmatchcase(text, pattern)


def test_many_stars_take_no_time() -> None:
    started = time.perf_counter()
    assert not parse("*a" * 60 + "b").matches("a" * 2000)
    assert time.perf_counter() - started < 1


def test_several_stars_are_one() -> None:
    assert parse("A***B").tokens == ("A", Wild.ANY, "B")


def test_fullwidth_wildcards_are_ordinary_characters() -> None:
    assert parse("Ａ＊", fold).literal == "a*"


@pytest.mark.parametrize(
    ("pattern", "shorter"),
    [
        ("doe^*", "doe"),
        ("doe^*^*", "doe"),
        ("doe^j*", None),
        ("d*^*", "d*"),
        ("*^*", "*"),
        ("doe*", None),
        ("doe^?*", None),
    ],
)
def test_components_at_the_end_may_be_left_out(pattern: str, shorter: str | None) -> None:
    assert without_empty_end(parse(pattern)) == (None if shorter is None else parse(shorter))
