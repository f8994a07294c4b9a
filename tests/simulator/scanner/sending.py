"""Frames to instances, and what becomes of those on their way."""

from __future__ import annotations

from random import Random

from tests.simulator.scanner.habits import Habits
from tests.simulator.scanner.scan import Scan
from tests.simulator.scanner.truth import Frame, Instance

ROOT = "1.2.826.0.1.3680043.8.498"


def instances_of(
    rng: Random, form: str, habits: Habits, frames: list[Frame], seed: int
) -> list[Instance]:
    """Put frames into instances.

    Args:
        form: "classic", "legacy groups", "enhanced one", "enhanced by volume" or "enhanced by
            frame".
    """
    groups: dict[object, list[Frame]] = {}
    for frame in frames:
        key: object = frame.cell
        if form == "enhanced one":
            key = 0
        elif form == "enhanced by volume":
            key = (frame.volume, frame.time)
        groups.setdefault(key, []).append(frame)
    names = rng.sample(range(1, 10 * len(groups) + 10), len(groups))
    numbers = _of_images(rng, habits, len(groups)) if form == "enhanced by volume" else None
    made = []
    order = habits.frames
    for place, (name, group) in enumerate(zip(names, groups.values(), strict=True)):
        uid = f"{ROOT}.{seed}.{name}"
        if order == "random":
            rng.shuffle(group)
        elif order == "slices":
            group.sort(key=lambda frame: (frame.slice, frame.time, frame.volume))
        for index, frame in enumerate(group):
            frame.uid, frame.index = uid, index
            if numbers is not None:
                _renumber(frame, numbers[place])
            elif form == "enhanced one":
                _renumber(frame, None)
        number = 1 if form == "enhanced one" else group[0].said.get("InstanceNumber")
        made.append(Instance(uid, group, {} if number is None else {"InstanceNumber": number}))
    return made


def _renumber(frame: Frame, number: int | None) -> None:
    frame.said.pop("InstanceNumber", None)
    if number is not None:
        frame.said["InstanceNumber"] = number


def _of_images(rng: Random, habits: Habits, count: int) -> list[int | None]:
    """Return Instance Numbers of images that are volumes; groups come in the order of time."""
    rising: list[int | None] = [habits.first + place for place in range(count)]
    if habits.numbers == "random":
        return rng.sample(rising, count)
    if habits.numbers == "falling":
        return rising[::-1]
    return {"one": [1] * count, "absent": [None] * count}.get(habits.numbers, rising)


def lose(
    rng: Random, scan: Scan, habits: Habits, made: list[Instance], marks: list[str]
) -> tuple[list[Instance], str]:
    """Lose some instances; return the others, and what was done.

    Args:
        marks: what states the fourth axis.
    """
    how = rng.choice(("none",) * 6 + ("one", "each", "tail", "volume"))
    # parts of what nothing states, or of two stacks in one another, may look whole
    if len(made) < 3 or not scan.stated or scan.kind.endswith("in between"):
        how = "none"
    lost: list[Instance] = []
    if how == "one":
        lost = [rng.choice(made)]
        told = marks != ["Instance Number"] or habits.acquisitions in {"rising", "shuffled"}
        if scan.times > 1 and not told and not _leaves_holes(made, lost):
            lost = []
    elif how == "tail":
        by_number = "InstanceNumber" in made[0].said and habits.numbers.startswith("by")
        ordered = sorted(
            made,
            key=lambda one: one.said["InstanceNumber"] if by_number else one.frames[0].began,
        )
        lost = ordered[-rng.randint(1, max(1, len(made) // 2)) :]
    elif how == "volume":
        volume, time = rng.choice(made).frames[0].cell[:2]
        lost = [one for one in made if one.frames[0].cell[:2] == (volume, time)]
    elif how == "each":
        lost = _one_at_each(rng, scan, habits, made, marks)
    left = [one for one in made if one not in lost]
    return (left, how) if lost and left else (made, "none")


def _one_at_each(
    rng: Random, scan: Scan, habits: Habits, made: list[Instance], marks: list[str]
) -> list[Instance]:
    """Return one instance at each position, of different times.

    Nothing is lost where no header would show it: it has to be told by marks that are the same in
    all of a volume, or by holes in Instance Numbers.
    """
    if scan.times < 2 or min(scan.slices) < 2 or any(len(one.frames) > 1 for one in made):
        return []
    strong = not {
        "what the times show", "dimensions", "Temporal Position", "Nominal Percentage",
    }.isdisjoint(marks)  # fmt: skip
    shared = habits.clock == "by volume" and not scan.slicewise and "Acquisition Time" in marks
    shared = shared or "Frame Reference Time" in marks
    shared = shared or habits.acquisitions in {"rising", "shuffled"}
    if not strong and (scan.times < 3 or not (shared or habits.numbers.startswith("by"))):
        return []
    at: dict[tuple[int, int], list[Instance]] = {}
    for one in made:
        at.setdefault((one.frames[0].volume, one.frames[0].slice), []).append(one)
    lost = [rng.choice(ones) for ones in at.values()]
    if strong or shared:
        return lost
    return lost if _leaves_holes(made, lost) else []


def _leaves_holes(made: list[Instance], lost: list[Instance]) -> bool:
    """Tell whether every lost Instance Number lies between others that are left."""
    gone = {one.uid for one in lost}
    left = [one.said.get("InstanceNumber", 0) for one in made if one.uid not in gone]
    numbers = [one.said.get("InstanceNumber", 0) for one in lost]
    return bool(left) and min(left) < min(numbers) and max(numbers) < max(left)


def send(rng: Random, instances: list[Instance], *, again: bool) -> list[Instance]:
    """Return instances in the order of arrival, some of them twice.

    Args:
        again: some come a second time under UIDs of their own.
    """
    sent = list(instances)
    if rng.random() < 0.2:
        sent += rng.sample(instances, rng.randint(1, min(3, len(instances))))
    if again:
        for one in rng.sample(instances, rng.randint(1, len(instances))):
            uid = f"{one.uid}.9"
            frames = [_copy(frame, uid) for frame in one.frames]
            sent.append(Instance(uid, frames, one.said, copy_of=one.uid))
    rng.shuffle(sent)
    return sent


def _copy(frame: Frame, uid: str) -> Frame:
    values = dict(vars(frame))
    return Frame(**{**values, "uid": uid, "said": frame.said})
