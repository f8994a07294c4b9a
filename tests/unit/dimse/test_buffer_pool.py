"""Buffers that are handed out again and again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.dimse.scp.store.buffer_pool import BufferPool


@given(st.lists(st.sampled_from(["take", "larger", "give"]), max_size=80), st.data())
def test_nobody_has_what_somebody_else_has(steps: list[str], data: st.DataObject) -> None:
    buffers = BufferPool(1 << 12)
    held: dict[int, memoryview] = {}
    for mark, step in enumerate(steps):
        if step == "take" or not held:
            held[mark] = buffers.take()
        else:
            chosen = data.draw(st.sampled_from(sorted(held)))
            if step == "larger":
                held[mark] = buffers.larger(held[chosen])
            buffers.give_back(held.pop(chosen))
        if mark in held:
            held[mark][:] = mark.to_bytes(1, "big") * len(held[mark])
        assert all(set(buffer) == {key} for key, buffer in held.items())


def test_what_was_returned_is_used_again_first() -> None:
    buffers = BufferPool(1 << 20)
    buffer = buffers.take()
    buffer[:4] = b"here"
    buffers.give_back(buffer)
    assert bytes(buffers.take()[:4]) == b"here"
