"""Which series of an expected protocol a study lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from node.assemble.protocol import Entry
from node.core.records import SeriesRecord, SeriesState
from node.lifecycle.expectations import Expectation, Expectations
from node.lifecycle.series_origins import SeriesOrigins
from node.storage.index.series.work import Work
from node.storage.index.studies.studies import StudyRecord


class MissingSeries:
    """Compares the series of a study with the protocols that are expected of them.

    Args:
        work: the series in the index.
        origins: what conditions are compared with.
        expectations: returns the protocols as they are configured now.
    """

    def __init__(
        self, work: Work, origins: SeriesOrigins, expectations: Callable[[], Expectations]
    ) -> None:
        self._work = work
        self._origins = origins
        self._expectations = expectations

    def of(self, study: StudyRecord) -> list[dict[str, Any]]:
        """The series that a study at rest lacks.

        A protocol is expected of a study as soon as the conditions choose one of its series.

        Args:
            study: the study.

        Returns:
            the deviations as payloads and the API have them, each with `compared`: the addresses
            of the series that the conditions of its protocol choose.
        """
        expected = self._expectations()
        if not expected:
            return []
        series = self._work.of(study.rows)
        chosen: dict[str, tuple[Expectation, list[str]]] = {}
        for one in series:
            for expectation in expected.of(one, self._origins):
                chosen.setdefault(expectation.file, (expectation, []))[1].append(one.address)
        if not chosen:
            return []
        found = [entry for one in series for entry in self._volumes(one)]
        return [
            {**lacking, "compared": compared}
            for expectation, compared in chosen.values()
            for lacking in expectation.missing(found)
        ]

    def _volumes(self, series: SeriesRecord) -> Sequence[Entry]:
        """The volumes of a series, as protocols know them; what was refused is not missing."""
        if series.state is SeriesState.JOINED:
            return ()
        verdict = series.verdict or {}
        made = verdict.get("known_as") or ()
        entries: list[Entry] = [{"series": name, "kind": kind} for name, kind in made]
        if series.state is not SeriesState.READY or not made or verdict.get("refusals"):
            entries = [{"series": _name(self._work.attributes(series.pk))}]
        return entries


def _name(attributes: Mapping[str, Any]) -> str:
    """The name under which protocols know a series."""
    return str(attributes.get("SeriesDescription") or attributes.get("ProtocolName") or "")
