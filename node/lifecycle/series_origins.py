"""What conditions are compared with: the attributes of a series, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from node.core.conditions.values import IMAGE_TYPE, ConditionValues
from node.core.records import SeriesRecord, Verdict
from node.storage.index.series.work import Work

PeerNames = Callable[[str, str], Sequence[str]]
"""Returns the names in `dicom.peers` of a sender, by its AE title and address."""


class SeriesOrigins:
    """Reads what conditions are compared with.

    Args:
        work: the series in the index.
        peer_names: names the peers of a sender.
    """

    def __init__(self, work: Work, peer_names: PeerNames = lambda _title, _address: ()) -> None:
        self._work = work
        self._peer_names = peer_names

    def values(self, series: SeriesRecord, verdict: Verdict | str) -> ConditionValues:
        """What the conditions of `deliver:` and `output.rules` are compared with.

        Args:
            series: the series.
            verdict: of its completeness, or of its study's.
        """
        arrivals = self._work.arrivals(series.pk)
        jobs = self._work.pull_jobs(series.study_uid, series.uid)
        named = [name for one in arrivals for name in self._peer_names(one.calling_ae, one.address)]
        attributes = self._work.attributes(series.pk)
        image_types = self._work.image_types(series.pk)
        if image_types:
            attributes = {**attributes, IMAGE_TYPE: image_types}
        return ConditionValues(
            attributes=attributes,
            calling=_each_once(one.calling_ae for one in arrivals),
            called=_each_once(one.called_ae for one in arrivals if one.called_ae),
            peers=_each_once([*named, *(peer for _, peer in jobs)]),
            pull_jobs=_each_once(name for name, _ in jobs),
            verdict=str(verdict),
        )


def _each_once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
