"""What a peer says against what is held: random studies, and what is asked for next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.core.query_keys import Level
from node.dimse.pull.comparison import SeriesExpected, compare, retrieves

UIDS = st.frozensets(st.integers(1, 9).map(lambda n: f"1.{n}"), max_size=6)
SERIES = st.lists(
    st.tuples(UIDS, UIDS, st.sampled_from(["listed", "counted", "silent"])), min_size=1, max_size=4
)


def expected(number: int, there: frozenset[str], how: str) -> SeriesExpected:
    return SeriesExpected(
        f"2.{number}",
        instances=there if how == "listed" else None,
        count=None if how == "silent" else len(there),
    )


@given(SERIES)
def test_complete_is_what_has_everything_and_nothing_else(
    series: list[tuple[frozenset[str], frozenset[str], str]],
) -> None:
    peer = [expected(k, there, how) for k, (there, _, how) in enumerate(series)]
    held = {f"2.{k}": here for k, (_, here, _) in enumerate(series)}
    found = compare(peer, held)
    proven = {
        "listed": lambda there, here: there <= here,
        "counted": lambda there, here: len(there) <= len(here),
        "silent": lambda _there, _here: False,
    }
    assert found.is_complete == all(proven[how](there, here) for there, here, how in series)
    if all(how != "silent" for *_, how in series):
        assert found.expected == found.received + found.missing_count
    if all(how == "listed" for *_, how in series):
        truth = [uid for there, here, _ in series for uid in sorted(there - here)]
        assert list(found.missing) == truth


@given(SERIES, st.booleans(), st.booleans())
def test_what_is_missing_is_asked_for_and_complete_series_are_not(
    series: list[tuple[frozenset[str], frozenset[str], str]], whole: bool, takes_lists: bool
) -> None:
    peer = [expected(k, there, how) for k, (there, _, how) in enumerate(series)]
    held = {f"2.{k}": here for k, (_, here, _) in enumerate(series)}
    found = compare(peer, held)
    asked = list(retrieves("3", found, patient_id="", whole=whole, takes_lists=takes_lists))
    if any(one.level is Level.STUDY for one in asked):
        assert whole
        assert not any(here for _, here, _ in series)
        return
    for one in found.series:
        of_it = [a for a in asked if a.keys["SeriesInstanceUID"] == one.expected.uid]
        assert bool(of_it) is not one.is_complete
        listed = [
            uid
            for a in of_it
            if a.level is Level.IMAGE
            for uid in a.keys["SOPInstanceUID"].split("\\")
        ]
        assert listed in ([], list(one.missing))
        assert takes_lists or not listed


def test_a_study_without_series_is_not_complete() -> None:
    assert not compare([], {}).is_complete


def test_long_lists_are_parted() -> None:
    there = frozenset(f"1.{n}" for n in range(1001))
    found = compare([SeriesExpected("2", instances=there)], {"2": ["1.0"]})
    asked = list(retrieves("3", found, patient_id="", whole=True, takes_lists=True))
    assert len(asked) == 5
    listed = {uid for one in asked for uid in one.keys["SOPInstanceUID"].split("\\")}
    assert listed == there - {"1.0"}
