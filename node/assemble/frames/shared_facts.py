"""What all frames of an instance have in common, kept once."""

from __future__ import annotations

import msgspec

from node.assemble.frames.model import Facts, FrameHeader


def facts_apart(
    frames: tuple[FrameHeader, ...],
) -> tuple[tuple[FrameHeader, ...], Facts]:
    """Take the facts that are the same in all frames out of them.

    A multi-frame image has hundreds of frames, and its header is kept in the index.

    Returns:
        the frames with what only they have, and the facts of all.
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
