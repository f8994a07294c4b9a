"""Asks senders by C-FIND which series a study has (`query_back` of `dicom.peers`)."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from node.completion.facts import Source
from node.completion.study_decision import StudyStatement
from node.core.errors import NodeError
from node.core.records import AssociationEnd
from node.storage.index.peers.statements import Statements
from node.storage.index.series.work import Work
from node.storage.index.studies.statements import StudyStatements
from node.storage.index.studies.studies import StudyRecord

log = logging.getLogger(__name__)

SeriesOfStudy = Callable[[str, str], Collection[str] | None]
"""Returns the Series Instance UIDs that a peer has of a study, by the peer's AE title and the Study
Instance UID; None if it does not say.

Raises NodeError if the peer is unavailable or does not answer queries.
"""
_REMEMBERED: Final = 4096  # studies that are not asked about again until something comes


class SenderSeriesQuery:
    """Asks once after each sign of a study, when its series are at rest.

    Args:
        work: the series in the index.
        studies: stores the answers in the index.
        refusals: knows which peers do not answer.
        titles: returns the AE titles that may be asked.
        ask: asks one of them.
        clock: returns seconds since 1970.
        wake: called when an answer is in the index.
    """

    def __init__(
        self,
        work: Work,
        studies: StudyStatements,
        refusals: Statements,
        *,
        titles: Callable[[], Sequence[str]],
        ask: SeriesOfStudy,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._work = work
        self._studies = studies
        self._refusals = refusals
        self._titles = titles
        self._ask = ask
        self._clock = clock
        self._wake = wake
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sender-series-query")
        self._lock = threading.Lock()

    def consider(self, study: StudyRecord, now: float) -> None:
        """Ask a sender of the study, if that can help and was not done yet.

        Args:
            study: the study, whose series are at rest.
            now: seconds since 1970.
        """
        allowed = set(self._titles())
        if not allowed:
            return
        arrivals = [one for row in study.rows for one in self._work.arrivals(row)]
        if any(one.end is AssociationEnd.OPEN for one in arrivals):
            return
        senders = [ae for ae in dict.fromkeys(one.calling_ae for one in arrivals) if ae in allowed]
        if not senders or not self._is_new(study):
            return
        for sender in self._refusals.askable(senders, now)[:1]:
            self._pool.submit(self._asks, sender, study.uid)

    def stop(self) -> None:
        """Start no more queries; one that has started may still end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _is_new(self, study: StudyRecord) -> bool:
        with self._lock:
            if self._asked.get(study.pk) == study.situation.last_sign:
                return False
            self._asked[study.pk] = study.situation.last_sign
            self._asked.move_to_end(study.pk)
            while len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return True

    def _asks(self, sender: str, study_uid: str) -> None:
        at = self._clock()  # the answer is about the time of the query
        try:
            series = self._ask(sender, study_uid)
            if not series:
                return
            said = StudyStatement(Source.SENDER_COUNT, sender, at, series=frozenset(series))
            self._studies.add(study_uid, said, reference=sender)
        except NodeError as error:
            until = self._refusals.refused(sender, str(error), self._clock())
            log.info(
                "%s did not answer which series a study has: %s; the node asks it again in %g s",
                sender,
                error,
                until - self._clock(),
                extra={"peer": sender},
            )
            return
        self._wake()
