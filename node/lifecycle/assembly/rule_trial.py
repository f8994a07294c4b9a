"""Tries `output.rules` on a series, without making anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.convert import OutputOptions
from node.convert.planning import planned_volumes
from node.core.errors import AssemblyError
from node.core.records import SeriesRecord
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.assembly.task import sources_of
from node.storage.index.series.work import Work


@dataclass(frozen=True, slots=True)
class TriedVolume:
    """What the rules say of one volume.

    Attributes:
        shape: of the array as written.
        rule: number of the rule that it matches, from 1; 0: none, `output.name` names it.
        name: relative to the output folder, without extension; empty: no volume is made.
        mismatches: why the rules before did not match.
    """

    shape: tuple[int, ...]
    rule: int
    name: str
    mismatches: tuple[str, ...]


class RuleTrial:
    """Tries rules.

    Args:
        work: the series in the index.
        ruled: names that rules give.
        archive: the folder that instances' paths are relative to.
        options: how volumes are made.
    """

    def __init__(
        self, work: Work, ruled: RuledNames, archive: Path, options: OutputOptions
    ) -> None:
        self._work = work
        self._ruled = ruled
        self._archive = archive
        self._options = options

    def volumes(self, series: SeriesRecord) -> list[TriedVolume]:
        """What the rules say of each volume of a series, with the name that it would get.

        Args:
            series: the series.
        """
        naming = self._ruled.naming(series, "")
        sources = sources_of(self._archive, self._work.instances(series.pk))
        volumes = planned_volumes(sources, self._options)
        found = []
        for volume, named in zip(volumes, naming.volumes(volumes), strict=True):
            match = naming.match(volume, volumes)
            name = "" if isinstance(named, AssemblyError) else named.stem
            found.append(TriedVolume(volume.shape, match.number, name, match.mismatches))
        return found

    def unmatched(
        self, looked: Callable[[SeriesRecord], None] = lambda _: None
    ) -> Iterator[tuple[SeriesRecord, TriedVolume]]:
        """Every volume in the archive that no rule matches, with its series.

        Args:
            looked: called after each series.
        """
        for series in self._work.in_state():
            for volume in self.volumes(series):
                if not volume.rule:
                    yield series, volume
            looked(series)
