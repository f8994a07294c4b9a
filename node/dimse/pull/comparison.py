"""What a peer says that a study has, against what the archive has of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.core.query_keys import Level
from node.dimse.scu.retrieve import Wanted

_LISTED: Final = 200  # SOP Instance UIDs in one identifier; longer ones some archives refuse


@dataclass(frozen=True, slots=True)
class SeriesExpected:
    """What a peer says of a series.

    Attributes:
        uid: Series Instance UID.
        modality: Modality; empty: it does not say.
        instances: SOP Instance UIDs; None: it does not list them.
        count: how many instances there are; None: it does not say.
        sop_classes: of its instances, as far as it says.
    """

    uid: str
    modality: str = ""
    instances: frozenset[str] | None = None
    count: int | None = None
    sop_classes: frozenset[str] = frozenset()

    @property
    def expected(self) -> int | None:
        """How many instances there are, the list counting more than the number."""
        return self.count if self.instances is None else len(self.instances)


@dataclass(frozen=True, slots=True)
class SeriesComparison:
    """A series of the peer, compared.

    Attributes:
        expected: what the peer says.
        received: how many of its instances are in the archive.
        missing: SOP Instance UIDs that are not, where the peer lists them.
        missing_count: how many are not; 0 where the peer says nothing.
        unlisted: instances in the archive that the peer does not list or count.
    """

    expected: SeriesExpected
    received: int
    missing: tuple[str, ...]
    missing_count: int
    unlisted: int

    @property
    def is_complete(self) -> bool:
        """Whether the archive proves to have all: never, where the peer says nothing."""
        return self.expected.expected is not None and not self.missing_count


@dataclass(frozen=True, slots=True)
class Comparison:
    """A study of the peer, compared."""

    series: tuple[SeriesComparison, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the archive proves to have every instance of every series."""
        return bool(self.series) and all(one.is_complete for one in self.series)

    @property
    def expected(self) -> int | None:
        """Instances that the peer says there are; None if it does not say of a series."""
        counts = [one.expected.expected for one in self.series]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def received(self) -> int:
        """How many of them are in the archive."""
        return sum(one.received for one in self.series)

    @property
    def missing_count(self) -> int:
        """How many of them are not."""
        return sum(one.missing_count for one in self.series)

    @property
    def missing(self) -> tuple[str, ...] | dict[str, Any]:
        """SOP Instance UIDs; where a series is not listed, by Series Instance UID instead."""
        if all(one.expected.instances is not None for one in self.series):
            return tuple(uid for one in self.series for uid in one.missing)
        return {
            one.expected.uid: list(one.missing) if one.missing else one.missing_count
            for one in self.series
            if one.missing_count
        }

    @property
    def unlisted(self) -> int:
        """Instances in the archive that the peer does not name."""
        return sum(one.unlisted for one in self.series)

    @property
    def silent(self) -> int:
        """Series of which the peer says neither instances nor a number."""
        return sum(one.expected.expected is None for one in self.series)


def compare(expected: Sequence[SeriesExpected], held: Mapping[str, Collection[str]]) -> Comparison:
    """Compare a study.

    Args:
        expected: what the peer says of the series that are wanted.
        held: Series Instance UID -> SOP Instance UIDs in the archive.
    """
    return Comparison(tuple(_series(one, frozenset(held.get(one.uid, ()))) for one in expected))


def _series(expected: SeriesExpected, held: frozenset[str]) -> SeriesComparison:
    if expected.instances is not None:
        missing = tuple(sorted(expected.instances - held))
        received = len(expected.instances) - len(missing)
        return SeriesComparison(
            expected, received, missing, len(missing), len(held - expected.instances)
        )
    if expected.count is not None:
        received = min(len(held), expected.count)
        return SeriesComparison(
            expected, received, (), expected.count - received, len(held) - received
        )
    return SeriesComparison(expected, len(held), (), 0, 0)


def retrieves(
    study_uid: str,
    comparison: Comparison,
    *,
    patient_id: str,
    whole: bool,
    takes_lists: bool,
) -> Iterator[Wanted]:
    """What to ask of the peer so that what is missing comes, and as little as possible besides.

    Args:
        study_uid: Study Instance UID.
        comparison: what is missing.
        patient_id: of the study, for peers that know Patient Root alone.
        whole: every series of the study is wanted.
        takes_lists: the peer takes lists of SOP Instance UIDs, as far as is known.
    """
    study = {"StudyInstanceUID": study_uid}
    if whole and not comparison.received and not comparison.unlisted:
        yield Wanted(Level.STUDY, study, patient_id)
        return
    for one in comparison.series:
        if one.is_complete:
            continue
        series = study | {"SeriesInstanceUID": one.expected.uid}
        partly = one.missing and (one.received or one.unlisted) and takes_lists
        if not partly:
            yield Wanted(Level.SERIES, series, patient_id)
            continue
        for at in range(0, len(one.missing), _LISTED):
            listed = "\\".join(one.missing[at : at + _LISTED])
            yield Wanted(Level.IMAGE, series | {"SOPInstanceUID": listed}, patient_id)


def one_by_one(wanted: Wanted, comparison: Comparison, *, most: int) -> list[Wanted]:
    """What is still missing of a list of instances, each by itself.

    Args:
        wanted: a retrieve that did not bring everything.
        comparison: what is missing after it.
        most: no more than so many.
    """
    listed = wanted.keys.get("SOPInstanceUID", "").split("\\")
    if len(listed) < 2:
        return []
    missing = {uid for one in comparison.series for uid in one.missing}
    left = [uid for uid in listed if uid in missing]
    return [
        wanted._replace(keys={**wanted.keys, "SOPInstanceUID": uid}) for uid in left[: max(0, most)]
    ]
