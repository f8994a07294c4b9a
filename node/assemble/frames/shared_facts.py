"""Facts that all frames of an instance share, kept once in its header."""

from __future__ import annotations

import msgspec

from node.assemble.frames.model import Facts, FrameHeader


def facts_apart(
    frames: tuple[FrameHeader, ...],
) -> tuple[tuple[FrameHeader, ...], Facts]:
    """Separate the facts that are the same in all frames.

    A multi-frame image has hundreds of frames, and the index keeps its header.

    Returns:
        the frames with their own facts only, and the facts that all share.
    """
    if len(frames) < 2:
        return frames, {}
    first = frames[0].facts
    common = {
        name: value
        for name, value in first.items()
        if all(name in frame.facts and frame.facts[name] == value for frame in frames[1:])
    }
    if not common:
        return frames, {}
    return tuple(
        msgspec.structs.replace(
            frame,
            facts={name: value for name, value in frame.facts.items() if name not in common},
        )
        for frame in frames
    ), common
