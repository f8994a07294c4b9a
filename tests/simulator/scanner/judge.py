"""Is a plan right? Every frame is held against where it belongs and where it truly lies."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from node.assemble.series import SeriesPlan, VolumePlan
from node.assemble.stacks.geometry import residual_limit
from tests.simulator.scanner.places import normal_of
from tests.simulator.scanner.truth import Frame, Volume, World

Key = tuple[str, int]


def judge(world: World, plan: SeriesPlan) -> list[str]:
    """Return what of a plan is wrong without the plan saying so; empty if it is right.

    Each complaint begins with a name of its kind and a colon.
    """
    return _Trial(world, plan).complaints()


class _Trial:
    def __init__(self, world: World, plan: SeriesPlan) -> None:
        self.world, self.plan = world, plan
        self.frames: dict[Key, Frame] = {
            (frame.uid, frame.index): frame for one in world.sent for frame in one.frames
        }
        self.arrivals = Counter(one.uid for one in world.sent)
        self.used: dict[Key, int] = {}
        self.holders: dict[tuple[int, object], set[int]] = defaultdict(set)
        self.wrong: list[str] = []
        self.arrived: dict[tuple[int, int], set[int]] = defaultdict(set)
        for frame in self.frames.values():
            self.arrived[frame.volume, frame.time].add(frame.slice)
        self.slices: dict[int, set[int]] = defaultdict(set)
        for (volume, _), found in self.arrived.items():
            self.slices[volume] |= found
        self.refused = {uid for error in plan.refusals for uid in error.instances}
        self.left = {left.sop_instance_uid for left in plan.left_out}
        for one in plan.volumes:
            self.left |= {left.sop_instance_uid for left in one.left_out}

    def complaints(self) -> list[str]:
        """Judge every volume, then what is in none."""
        for number, volume in enumerate(self.plan.volumes):
            self._volume(number, volume)
        for (volume, part), holders in self.holders.items():
            if len(holders) > 1:
                self.wrong.append(f"torn: volume {volume}, part {part} is in volumes {holders}")
        self._left_out()
        self._nowhere()
        return self.wrong

    def _complete(self, volume: int, time: int) -> bool:
        return self.arrived[volume, time] == self.slices[volume]

    def _volume(self, number: int, volume: VolumePlan) -> None:
        rows: list[list[Frame]] = []
        for row in volume.grid:
            keys = [(piece.uid, piece.frame.index) for piece in row]
            if any(key not in self.frames for key in keys):
                self.wrong.append(f"stranger: volume {number} has frames that were never sent")
                return
            for key in keys:
                if key in self.used:
                    self.wrong.append(f"twice: {key} is in volumes {self.used[key]} and {number}")
                self.used[key] = number
            rows.append([self.frames[key] for key in keys])
        of = {frame.volume for row in rows for frame in row}
        if len(of) > 1:
            self.wrong.append(f"mixed volumes: {number} has frames of the volumes {sorted(of)}")
            return
        truth = self.world.volumes[of.pop()]
        for row in rows:
            for frame in row:
                self.holders[truth.number, truth.parts[frame.time]].add(number)
        if not self._times(number, rows, truth):
            return
        if not self._whole(number, rows, truth):
            return
        self._places(number, volume, rows, truth)

    def _times(self, number: int, rows: list[list[Frame]], truth: Volume) -> bool:
        times = []
        for t, row in enumerate(rows):
            found = sorted({frame.time for frame in row})
            if len(found) > 1:
                self.wrong.append(f"mixed times: volume {number}, row {t} has the times {found}")
                return False
            times += found
        if len(set(times)) < len(times):
            self.wrong.append(f"repeated time: volume {number} has the times {times}")
            return False
        orders = [times]
        if truth.by_part:
            parts = [truth.parts[time] for time in times]
            together = [part for part, _ in groupby(parts)]
            if len(set(together)) == len(together):
                orders = [
                    [time for time in times if truth.parts[time] == part] for part in together
                ]
        if truth.ordered and any(a > b for order in orders for a, b in pairwise(order)):
            self.wrong.append(f"order: volume {number} has the times {times}")
            return False
        return True

    def _whole(self, number: int, rows: list[list[Frame]], truth: Volume) -> bool:
        """Tell whether a volume has all slices that its times have, and none twice."""
        slices = [frame.slice for frame in rows[0]]
        if any([frame.slice for frame in row] != slices for row in rows):
            self.wrong.append(f"slices: volume {number} has other slices at other times")
            return False
        if len(set(slices)) < len(slices):
            self.wrong.append(f"slices: volume {number} has a slice twice: {slices}")
            return False
        there = [k for k in sorted(self.slices[truth.number]) if min(slices) <= k <= max(slices)]
        if sorted(slices) != there:
            self.wrong.append(f"holes: volume {number} has slices {slices} where {there} came")
            return False
        return True

    def _places(
        self, number: int, volume: VolumePlan, rows: list[list[Frame]], truth: Volume
    ) -> None:
        """Hold the corners of every slice against where they truly lie."""
        grid, lps = truth.grid, volume.lps.tolist()
        count = len(rows[0])
        if volume.places and len(volume.places) != count:
            self.wrong.append(f"place: volume {number} has {len(volume.places)} places")
            return
        spacing = abs(_dot(normal_of(grid), grid.step))
        limit = residual_limit(spacing) + self.world.away + 1e-6
        bottom, right = grid.size[0] - 1, grid.size[1] - 1
        for place, frame in enumerate(rows[0]):
            k = volume.places[place] if volume.places else place
            for row, column in ((0, 0), (0, right), (bottom, 0), (bottom, right)):
                put = [_dot(line, (column, row, k, 1)) for line in lps[:3]]
                off = math.dist(put, grid.at(column, row, frame.slice))
                if off > limit:
                    self.wrong.append(
                        f"place: volume {number}, slice {frame.slice} is {off:.3f} mm off"
                    )
                    return

    def _left_out(self) -> None:
        used = {self.frames[key].cell for key in self.used}
        copied = {one.copy_of for one in self.world.sent if one.copy_of}
        for one in self.world.sent:
            if one.uid not in self.left:
                continue
            if sum(other.uid == one.uid for other in self.world.sent) > 1 and all(
                frame.cell in used for frame in one.frames
            ):
                continue  # the same instance, sent twice
            if self.arrivals[one.uid] > 1:  # it came twice, and once is enough
                made = all((one.uid, frame.index) in self.used for frame in one.frames)
                if made or one.uid in self.refused:
                    continue
            if one.copy_of or one.uid in copied:
                whole = [f for f in one.frames if self._complete(f.volume, f.time)]
                if not all(frame.cell in used for frame in whole) and not self.refused:
                    self.wrong.append(f"left out: neither {one.uid} nor its copy is in a volume")
            elif all(self._complete(frame.volume, frame.time) for frame in one.frames):
                self.wrong.append(f"left out: {one.uid} is of a complete time")

    def _nowhere(self) -> None:
        """Complain of frames that are in no volume and not spoken of.

        A refusal may name only some frames of what it refuses: it speaks for the others of the
        same part, and of the whole volume if nothing of that was made.
        """
        if any(not error.instances for error in self.plan.refusals):
            return
        named = [frame for (uid, _), frame in self.frames.items() if uid in self.refused]
        parts = {(frame.volume, self._part(frame)) for frame in named}
        made = {self.frames[key].volume for key in self.used}
        volumes = {frame.volume for frame in named} - made
        lost = []
        for key in self.frames.keys() - self.used.keys():
            frame = self.frames[key]
            spoken = (frame.volume, self._part(frame)) in parts or frame.volume in volumes
            if not spoken and key[0] not in self.left:
                lost.append(frame.cell)
        if lost:
            self.wrong.append(f"nowhere: {sorted(lost)} are in no volume, and nothing says why")

    def _part(self, frame: Frame) -> object:
        return self.world.volumes[frame.volume].parts[frame.time]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def kinds(complaints: Iterable[str]) -> list[str]:
    """Return the names of complaints."""
    return sorted({one.split(":", 1)[0] for one in complaints})
