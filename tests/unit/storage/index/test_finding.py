"""Every question that a list can ask is understood by both databases."""

from __future__ import annotations

import pytest

from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.search.changes import Changes
from node.storage.index.search.finding import Finder, Place, Sort
from node.storage.index.search.wanted import Wanted

QUESTIONS = (
    Wanted(),
    Wanted(text="Schädel 50%", identifiers=True),
    Wanted(states=(SeriesState.READY,), modalities=("CT",), first="20250101", last="20251231"),
    Wanted(text="a", senders=("CT1",), projects=("RASNODE",)),
)


@pytest.mark.parametrize("wanted", QUESTIONS)
@pytest.mark.parametrize("sort", list(Sort))
def test_every_question_is_understood_in_every_order(
    index: Index, wanted: Wanted, sort: Sort
) -> None:
    finder = Finder(index)
    for after in (None, Place("20250101", 3)):
        assert finder.series(wanted, sort, 5, after) == ([], None)
        assert finder.studies(wanted, sort, 5, after) == ([], None)
    assert finder.of_studies([1], wanted, 5) == {1: ([], 0)}
    assert finder.studies_with([1]) == []
    assert finder.choices() == {"modalities": [], "senders": [], "projects": []}
    assert Changes(index).look() == []
