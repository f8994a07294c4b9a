"""Evidence from the counts that headers announce: how many instances, positions or times."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from node.completion.facts import Count, Evidence, InstanceFacts, Source
from node.completion.instance_numbers import each_covers_its_stack
from node.completion.slice_layout import Numbering, Stack, cut_short
from node.core.records import Verdict


def announced_evidence(
    instances: Sequence[InstanceFacts], stacks: Sequence[Stack], numbers: Numbering
) -> Iterator[Evidence]:
    """Compare the counts in the headers with the instances that were received.

    Derived images repeat the counts of their sources, which are ignored. Proof takes a count of the
    whole series, or of slices and times together, and no count that disagrees. A count that is
    smaller than what was received does not describe this series, and proves nothing.

    Args:
        instances: of the series.
        stacks: their frames in space.
        numbers: their InstanceNumbers.

    Yields:
        one piece of evidence for each count that applies.
    """
    if not instances or any(instance.derived for instance in instances):
        return
    total = len(instances)
    counts = {count: _agreed(instances, count) for count in Count}
    times = counts[Count.TEMPORAL_POSITIONS] or 1
    per_place = _images_per_place(stacks)
    findings = [
        _whole(Count.IMAGES_IN_ACQUISITION, counts, total, (times, _acquisitions(instances))),
        _whole(Count.IMAGES_IN_SERIES, counts, total, (times,)),
        _pet(counts, total),
        _concatenations(instances),
        _times(times, per_place) if times > 1 else None,
        _times(counts[Count.DYNAMICS] or 1, per_place),
        _planned(counts, instances, stacks, per_place),
        _frames(instances, stacks),
        _locations(Count.LOCATIONS, counts, stacks),
        _locations(Count.SLICES, counts, stacks),
    ]
    present = [finding for finding in findings if finding is not None]
    short = [finding for finding in present if finding.says is Verdict.INCOMPLETE]
    if short:
        in_order = (numbers.usable and not numbers.missing) or cut_short(stacks)
        in_time = in_order and any(finding.detail["of"] == "times" for finding in short)
        for finding in short:
            # Planned times that were not scanned also make the whole series too small.
            stopped = in_time and finding.detail["of"] in {"times", "whole"}
            yield _stopped(finding) if stopped else finding
        return
    kinds = {finding.detail["of"] for finding in present if finding.says is Verdict.COMPLETE}
    whole = "whole" in kinds or {"times", "places"} <= kinds
    for finding in present:
        proof = whole and finding.says is Verdict.COMPLETE
        yield Evidence(
            finding.source, Verdict.COMPLETE if proof else Verdict.UNKNOWN, finding.sentence
        )


def _agreed(instances: Sequence[InstanceFacts], count: Count) -> int | None:
    value = instances[0].announced.get(count)
    if value is None or value < 1:
        return None
    return value if all(one.announced.get(count) == value for one in instances) else None


def _acquisitions(instances: Sequence[InstanceFacts]) -> int:
    return len({instance.acquisition for instance in instances})


def _whole(
    count: Count, counts: dict[Count, int | None], total: int, factors: tuple[int, ...]
) -> Evidence | None:
    """A count of images: of the series, or of each time or acquisition in it."""
    value = counts[count]
    if value is None:
        return None
    expected = sorted({value, *(value * factor for factor in factors)})
    if total in expected:
        return _evidence(
            "whole", Verdict.COMPLETE, f"{count} says {value}: all {total} were received"
        )
    larger = [number for number in expected if number > total]
    if not larger:
        return _evidence(
            "whole", Verdict.UNKNOWN, f"{count} says {value}, but {total} were received"
        )
    sentence = f"{count} says {value}: {total} of {larger[0]} were received"
    return _evidence("whole", Verdict.INCOMPLETE, sentence, larger[0] - total)


def _pet(counts: dict[Count, int | None], total: int) -> Evidence | None:
    """NumberOfSlices and NumberOfTimeSlices, mandatory in PET series (PS3.3 C.8.9.1)."""
    slices = counts[Count.PET_SLICES]
    if slices is None:
        return None
    expected = slices * (counts[Count.PET_TIME_SLICES] or 1)
    says = (
        Verdict.COMPLETE
        if total == expected
        else Verdict.INCOMPLETE
        if total < expected
        else Verdict.UNKNOWN
    )
    sentence = f"{Count.PET_SLICES} says {expected}: {total} were received"
    return _evidence("whole", says, sentence, max(0, expected - total))


def _concatenations(instances: Sequence[InstanceFacts]) -> Evidence | None:
    """Parts of concatenations (PS3.3 C.7.6.16.2.2.4); other instances are not counted here."""
    parts: dict[str, list[InstanceFacts]] = defaultdict(list)
    for instance in instances:
        if instance.concatenation:
            parts[instance.concatenation].append(instance)
    lacking = [
        (len(members), members[0].announced[Count.CONCATENATION_TOTAL])
        for members in parts.values()
        if len(members) < members[0].announced.get(Count.CONCATENATION_TOTAL, 0)
    ]
    if not parts:
        return None
    if lacking:
        received, expected = lacking[0]
        return _evidence(
            "whole",
            Verdict.INCOMPLETE,
            f"{received} of {expected} parts of a concatenation were received",
        )
    whole = len(parts) == 1 and sum(map(len, parts.values())) == len(instances)
    return _evidence(
        "whole" if whole else "part",
        Verdict.COMPLETE,
        "all parts of its concatenations were received",
    )


def _images_per_place(stacks: Sequence[Stack]) -> tuple[int, int] | None:
    """The fewest and the most images of one echo at any slice position."""
    counts = [
        count
        for stack in stacks
        for place in stack.places
        for count in Counter(image.frame.echo for image in place).values()
    ]
    return (min(counts), max(counts)) if counts else None


def _times(value: int, per_place: tuple[int, int] | None) -> Evidence | None:
    if value < 2 or per_place is None:
        return None
    fewest, most = per_place
    sentence = f"{value} temporal positions are announced, {fewest} are complete"
    if fewest >= value and most == value:
        return _evidence("times", Verdict.COMPLETE, sentence)
    if most > value:
        return _evidence(
            "times", Verdict.UNKNOWN, f"{value} times are announced, but {most} were received"
        )
    return _evidence("times", Verdict.INCOMPLETE, sentence)


def _frames(instances: Sequence[InstanceFacts], stacks: Sequence[Stack]) -> Evidence | None:
    """NumberOfFrames: multi-frame instances that each have all slices of their stack."""
    frames = {len(instance.frames) for instance in instances}
    if min(frames) < 2 or not each_covers_its_stack(instances, stacks):
        return None
    sizes = " or ".join(map(str, sorted(frames)))
    return _evidence(
        "places", Verdict.COMPLETE, f"each instance has complete stacks of {sizes} frames"
    )


def _planned(
    counts: dict[Count, int | None],
    instances: Sequence[InstanceFacts],
    stacks: Sequence[Stack],
    per_place: tuple[int, int] | None,
) -> Evidence | None:
    """What a protocol planned: proof if all was received, else none, as scans are stopped early."""
    volumes, slices = counts[Count.VOLUMES], counts[Count.PLANNED_SLICES]
    if volumes is None or per_place is None:
        return None
    all_received = per_place == (volumes, volumes)
    sentence = f"{Count.VOLUMES} plans {volumes} volumes: {per_place[1]} were received"
    if slices is not None:
        places = sum(len(stack.places) for stack in stacks)
        done = all_received and places == slices
        sentence += f"; {Count.PLANNED_SLICES} plans {slices} slices: {places} were received"
    elif each_covers_its_stack(instances, stacks):
        done = all_received and len(stacks) == 1
    else:
        return None
    return _evidence("whole", Verdict.COMPLETE if done else Verdict.UNKNOWN, sentence)


def _locations(
    count: Count, counts: dict[Count, int | None], stacks: Sequence[Stack]
) -> Evidence | None:
    value = counts[count]
    if value is None or value < 2 or not stacks:
        return None
    found = [len(stack.places) for stack in stacks]
    if set(found) == {value} or sum(found) == value:
        return _evidence("places", Verdict.COMPLETE, f"{count} says {value}: all were received")
    if len(stacks) > 1 or found[0] > value:
        return None  # it does not say which stack it counts
    sentence = f"{count} says {value}: {found[0]} were received"
    return _evidence("places", Verdict.INCOMPLETE, sentence, value - found[0])


def _evidence(of: str, says: Verdict, sentence: str, lacking: int = 0) -> Evidence:
    detail = {"of": of, "lacking": lacking} if lacking else {"of": of}
    return Evidence(Source.ANNOUNCED, says, sentence, detail=detail)


def _stopped(finding: Evidence) -> Evidence:
    return Evidence(
        finding.source, finding.says, finding.sentence, stopped=True, detail=finding.detail
    )
