"""Names of the volumes of one series by `output.rules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.assemble.series import VolumePlan
from node.convert.naming import reproin
from node.convert.naming.bids import with_suffix
from node.convert.naming.siblings import Sibling, key, scope_of, settle
from node.convert.naming.volume_values import began, scan_of, volume_values
from node.core.errors import AssemblyError, Reason
from node.core.output_names import is_bids, render_name
from node.core.output_rules import DIMENSIONS, KIND, OutputRule, Values

_LABELS = "labels"
"""Kind of label maps and lists of points."""


@dataclass(frozen=True, slots=True)
class NamedVolume:
    """The name of one volume.

    Attributes:
        stem: with folders, without extension.
        fields: of its sidecar, from other volumes of its dataset.
        sibling: what other volumes of a BIDS dataset depend on; None for other names.
    """

    stem: str
    fields: Mapping[str, object]
    sibling: Sibling | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that a volume matches.

    Attributes:
        number: of the rule, from 1; 0: none, so that `output.name` names it.
        wanted: the name, before repeated scans are told apart; empty: no volume is made.
        counted: it has a run even if it is the only one.
        repeats: as in `Sibling`.
        mismatches: why the rules before did not match.
    """

    number: int
    wanted: str
    counted: bool = False
    repeats: str = "runs"
    mismatches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Naming:
    """Names the volumes of one series. It is pickled for worker processes.

    Attributes:
        rules: of `output.rules`.
        template: `output.name`.
        attributes: keyword -> value of the series, its study and its patient.
        values: what conditions are compared with, of the series.
        series: its address.
        session: of its study, by ReproIn names.
        siblings: volumes of other series of the same datasets.
        marks: name -> the name that this series has instead, as another series has it.
    """

    rules: tuple[OutputRule, ...]
    template: str
    attributes: Mapping[str, Any]
    values: Values
    series: str
    session: str = ""
    siblings: tuple[Sibling, ...] = ()
    marks: Mapping[str, str] | None = None

    def volumes(self, volumes: Sequence[VolumePlan]) -> list[NamedVolume | AssemblyError]:
        """Return a name for each volume, or the refusal of one that no volume is made of.

        Args:
            volumes: all plans of the series.
        """
        matches = [self.match(volume, volumes) for volume in volumes]
        own = {
            number: self._sibling(number, match, volume)
            for number, (match, volume) in enumerate(zip(matches, volumes, strict=True))
            if match.wanted and is_bids(match.wanted)
        }
        others = tuple(one for one in self.siblings if one.series != self.series)
        places = settle((*others, *own.values()))
        found: list[NamedVolume | AssemblyError] = []
        for number, (match, volume) in enumerate(zip(matches, volumes, strict=True)):
            if not match.wanted:
                found.append(_excluded(match, volume))
            elif number in own:
                sibling = own[number]
                place = places[key(sibling)]
                found.append(NamedVolume(place.stem, place.fields, sibling))
            else:
                found.append(NamedVolume(self._marked(match.wanted, volume.suffix), {}))
        return found

    def labels(self, plan: VolumePlan, suffix: str) -> NamedVolume | AssemblyError:
        """Return the name of a label map or a list of points.

        Args:
            plan: its grid.
            suffix: distinguishes it from others of the series.
        """
        values = {**self.values, KIND: (_LABELS,), DIMENSIONS: ("3",)}
        match = self._first(values, _LABELS, ())
        if not match.wanted:
            return _excluded(match, plan)
        return NamedVolume(self._marked(match.wanted, suffix), {})

    def match(self, volume: VolumePlan, volumes: Sequence[VolumePlan]) -> Match:
        """Return the rule that a volume matches.

        Args:
            volume: the plan.
            volumes: all plans of the series.
        """
        values = {**self.values, **volume_values(volume, volumes)}
        return self._first(values, values[KIND][0], values.get("ImageType", ()))

    def scopes(self) -> set[str]:
        """Return the folders of participant and session that a volume of the series may be in."""
        names = [rule.name for rule in self.rules if rule.name] + [self.template]
        wanted = [render_name(name, self.attributes) for name in names if is_bids(name)]
        for rule in self.rules:
            if rule.use:
                named = reproin.name_of(
                    self.attributes, rule.participant, self.session, _LABELS, ()
                )
                wanted += [named.stem] if named is not None else []
        return {scope_of(name) for name in wanted if name}

    def _first(self, values: Values, kind: str, words: Sequence[str]) -> Match:
        mismatches: list[str] = []
        for number, rule in enumerate(self.rules, 1):
            why = rule.mismatch(values)
            named: reproin.Named | None = None
            if not why and rule.use:
                named = reproin.name_of(
                    self.attributes, rule.participant, self.session, kind, words
                )
                why = "" if named is not None else "neither ProtocolName nor SeriesDescription has "
                why += "" if named is not None else "a name of ReproIn"
            if why:
                mismatches.append(why)
            elif named is not None:
                how = (named.counted, "last")
                return Match(number, named.stem, *how, tuple(mismatches))
            else:
                wanted = render_name(rule.name, self.attributes) if rule.name else ""
                return Match(number, wanted, mismatches=tuple(mismatches))
        wanted = render_name(self.template, self.attributes)
        return Match(0, wanted, mismatches=tuple(mismatches))

    def _sibling(self, number: int, match: Match, volume: VolumePlan) -> Sibling:
        wanted = with_suffix(match.wanted, volume.suffix)
        return Sibling(
            series=self.series,
            number=number,
            wanted=wanted,
            scope=scope_of(wanted),
            started=began(volume),
            counted=match.counted,
            repeats=match.repeats,
            session=self.session,
            scan=scan_of(volume),
        )

    def _marked(self, wanted: str, suffix: str) -> str:
        return with_suffix((self.marks or {}).get(wanted, wanted), suffix)


def _excluded(match: Match, volume: VolumePlan) -> AssemblyError:
    name = "rule " + str(match.number)
    uids = tuple(sorted({piece.uid for row in volume.grid for piece in row}))
    return AssemblyError(
        Reason.EXCLUDED_BY_RULE,
        f"The configuration makes no volume of it: {name} of output.rules matches it and names "
        "none. Change the rule and retry the series if it is to be a volume.",
        uids,
    )
