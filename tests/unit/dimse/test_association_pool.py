"""What is prepared while nobody comes, and taken when somebody does."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from node.dimse.upper_layer.association_pool import SIZE, AssociationPool


@given(st.lists(st.booleans(), max_size=60))
def test_each_is_handed_out_once_and_no_more_are_made_than_are_kept(steps: list[bool]) -> None:
    made = count()
    pool = AssociationPool(lambda: next(made))
    taken: list[int] = []
    kept = 0
    for step in steps:
        if step:
            taken.append(pool.take())
            kept = max(0, kept - 1)
        else:
            kept = min(SIZE, kept + 1)
            assert pool.add() is (kept < SIZE)
    assert taken == list(range(len(taken)))
    assert next(made) == len(taken) + kept
