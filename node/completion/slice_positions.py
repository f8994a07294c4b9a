"""Evidence from slice positions: gaps between them, and positions that lack images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from node.completion.facts import Evidence, Source
from node.completion.slice_layout import Image, Numbering, Spacing, Stack, cut_short, spacing
from node.core.records import Verdict

MOST_NAMED = 20  # missing positions or images in one sentence; of the others only the number
FEW_MISSING = 0.25  # without usable numbers, a larger share is taken for intended


def position_evidence(stacks: Sequence[Stack], numbers: Numbering) -> Iterator[Evidence]:
    """Find slice positions that are missing from otherwise regular stacks.

    A gap in positions without a gap in the InstanceNumbers is intended, not a loss; assembly deals
    with it.

    Args:
        stacks: the frames of the series in space.
        numbers: its InstanceNumbers.

    Yields:
        one piece of evidence for each stack of three positions or more.
    """
    for stack in stacks:
        steps = spacing(stack)
        if steps is None:
            continue
        if steps.uneven:
            yield _remark(f"slices are unevenly spaced around {steps.step:.6g} mm")
        elif not steps.gaps:
            yield _remark(f"{len(stack.places)} slice positions, each {steps.step:.6g} mm apart")
        elif numbers.usable and not numbers.missing:
            yield _remark(
                f"{_positions(steps.missing)} without a slice, but InstanceNumbers "
                f"{numbers.first} to {numbers.last} have no gap: intended, not a loss"
            )
        elif not numbers.usable and steps.missing > FEW_MISSING * len(stack.places):
            yield _remark(f"slices are spaced by several multiples of {steps.step:.6g} mm")
        else:
            yield _gaps(stack, steps)


def _gaps(stack: Stack, steps: Spacing) -> Evidence:
    missing = []
    for place, count in steps.gaps:
        before, after = stack.position(place), stack.position(place + 1)
        for ordinal in range(1, count + 1):
            part = ordinal / (count + 1)
            along = stack.distance(place) + part * (
                stack.distance(place + 1) - stack.distance(place)
            )
            at = [round(a + part * (b - a), 3) for a, b in zip(before, after, strict=True)]
            missing.append({"along_normal_mm": round(along, 3), "position_lps_mm": at})
    named = ", ".join(f"{item['along_normal_mm']:g} mm" for item in missing[:MOST_NAMED])
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return Evidence(
        Source.POSITIONS,
        Verdict.INCOMPLETE,
        f"{_positions(len(missing))} missing along the slice normal, at {named}{more} "
        f"(regular step {steps.step:.6g} mm)",
        detail={"missing_positions": missing[: 10 * MOST_NAMED]},
    )


def grid_evidence(stacks: Sequence[Stack], numbers: Numbering) -> Iterator[Evidence]:
    """Find slice positions with fewer images (times, b-values, echoes) than the others.

    Args:
        stacks: the frames of the series in space.
        numbers: its InstanceNumbers.

    Yields:
        at most one piece of evidence for each stack.
    """
    for stack in stacks:
        if len(stack.places) < 2:
            continue
        echoes = {image.frame.echo for place in stack.places for image in place}
        counts = [Counter(image.frame.echo for image in place) for place in stack.places]
        full = {echo: max(count[echo] for count in counts) for echo in echoes}
        short = [
            (place, echo, full[echo] - count[echo])
            for place, count in enumerate(counts)
            for echo in sorted(echoes, key=_echo_order)
            if count[echo] < full[echo]
        ]
        if not short:
            unequal = _unequal_times(stack)
            if unequal is not None:
                yield unequal
            elif sum(full.values()) > 1:
                yield _grid_remark(
                    f"each of {len(stack.places)} slice positions has {sum(full.values())} images"
                )
            continue
        yield _short_grid(stack, short, numbers, sum(full.values()))


def _unequal_times(stack: Stack) -> Evidence | None:
    """Find positions that have as many images as others, but of other temporal positions.

    Each lost the image of another time, so that the numbers of images are equal.
    """
    times = [[(image.frame.echo, image.frame.time) for image in place] for place in stack.places]
    found = [set(place) for place in times]
    every = set().union(*found)
    known = all(time is not None for _, time in every)
    distinct = all(len(have) == len(place) for have, place in zip(found, times, strict=True))
    counts = Counter(one for have in found for one in have)
    shared = sum(count == len(found) for count in counts.values())
    if not known or not distinct or shared == len(every) or len(every) > 2 * len(times[0]):
        return None
    if max(counts.values()) < 2:
        return None
    lacking = sum(len(every - have) for have in found)
    return Evidence(
        Source.GRID,
        Verdict.INCOMPLETE,
        f"{lacking} of {len(every) * len(found)} images are missing: slice positions have images "
        "of different temporal positions",
    )


def _short_grid(
    stack: Stack,
    short: list[tuple[int, float | None, int]],
    numbers: Numbering,
    full: int,
) -> Evidence:
    missing = sum(count for _, _, count in short)
    stopped = cut_short((stack,)) or (
        numbers.usable and not numbers.missing and _last_volume_partial(stack, short)
    )
    last_place = numbers.usable and not numbers.missing and _last_place_partial(stack, short)
    by_design = (
        not last_place
        if numbers.usable and not numbers.missing
        else not numbers.usable and missing > FEW_MISSING * full * len(stack.places)
    )
    if by_design and not stopped:
        return _grid_remark("slice positions have different numbers of images, as intended")
    places = sorted({place for place, _, _ in short})
    named = ", ".join(f"{stack.distance(place):.6g} mm" for place in places[:MOST_NAMED])
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    what = "the last volume is partial: " if stopped else ""
    return Evidence(
        Source.GRID,
        Verdict.INCOMPLETE,
        f"{what}{missing} of {full * len(stack.places)} images are missing, "
        f"at slice positions {named}{more}",
        stopped=stopped,
        detail={"missing_images": [_cell(stack, *item) for item in short[: 10 * MOST_NAMED]]},
    )


def _last_volume_partial(stack: Stack, short: list[tuple[int, float | None, int]]) -> bool:
    """Whether the images with the highest numbers are one unfinished volume."""
    if any(count != 1 for _, _, count in short):
        return False
    lacking = {(place, echo) for place, echo, _ in short}
    if all(len(place) < 2 for place in stack.places):
        return False
    cells = [
        (image.instance.number or 0, place, image.frame.echo)
        for place, images in enumerate(stack.places)
        for image in images
    ]
    cells.sort(key=lambda cell: cell[0], reverse=True)
    all_cells = {(place, echo) for _, place, echo in cells}
    newest = cells[: len(all_cells - lacking)]
    return {(place, echo) for _, place, echo in newest} == all_cells - lacking


def _last_place_partial(stack: Stack, short: list[tuple[int, float | None, int]]) -> bool:
    """Whether only the position with the highest numbers lacks images (scanned slice by slice)."""
    places = {place for place, _, _ in short}
    if len(places) != 1:
        return False
    (place,) = places
    here = [image.instance.number or 0 for image in stack.places[place]]
    others = [
        image.instance.number or 0
        for other, images in enumerate(stack.places)
        if other != place
        for image in images
    ]
    return min(here) > max(others)


def _cell(stack: Stack, place: int, echo: float | None, count: int) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "along_normal_mm": round(stack.distance(place), 3),
        "position_lps_mm": [round(value, 3) for value in stack.position(place)],
        "images": count,
    }
    if echo is not None:
        cell["echo"] = echo
    times = _missing_times(stack, stack.places[place], echo)
    if times:
        cell["temporal_positions"] = times
    return cell


def _missing_times(stack: Stack, here: Sequence[Image], echo: float | None) -> list[int]:
    known = {
        image.frame.time
        for place in stack.places
        for image in place
        if image.frame.time is not None and image.frame.echo == echo
    }
    return sorted(known - {image.frame.time for image in here if image.frame.echo == echo})


def _echo_order(echo: float | None) -> tuple[bool, float]:
    return (echo is not None, echo or 0.0)


def _remark(sentence: str) -> Evidence:
    return Evidence(Source.POSITIONS, Verdict.UNKNOWN, sentence)


def _grid_remark(sentence: str) -> Evidence:
    return Evidence(Source.GRID, Verdict.UNKNOWN, sentence)


def _positions(count: int) -> str:
    return "1 slice position" if count == 1 else f"{count} slice positions"
