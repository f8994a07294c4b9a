"""Asks senders by C-FIND how many instances a series has (`query_back` of `dicom.peers`)."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from node.completion.facts import SeriesFacts, Source, Statement
from node.core.errors import NodeError
from node.core.records import Arrival, AssociationEnd, SeriesRecord
from node.storage.index.peers.statements import Statements

log = logging.getLogger(__name__)

AT_ONCE = 2  # queries at the same time, so that one slow sender does not delay the others
_REMEMBERED = 4096  # series that are not asked about again until they change

Count = Callable[[str, str, str], int | None]
"""Returns how many instances a peer has of a series, by the peer's AE title, the Study Instance UID
and the Series Instance UID; None if its answer has no number.

Raises NodeError if the peer is unavailable or does not answer queries.
"""


class SenderCountQuery:
    """Asks once for each change of a series, after the associations that brought it have ended.

    Args:
        statements: stores the answers in the index.
        titles: returns the AE titles that may be asked.
        count: asks one of them.
        clock: returns seconds since 1970.
        wake: called when an answer is in the index.
    """

    def __init__(
        self,
        statements: Statements,
        *,
        titles: Callable[[], Sequence[str]],
        count: Count,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._statements = statements
        self._titles = titles
        self._count = count
        self._clock = clock
        self._wake = wake
        self._asked: OrderedDict[int, int] = OrderedDict()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sender-count-query")
        self._lock = threading.Lock()

    def consider(
        self, series: SeriesRecord, facts: SeriesFacts, arrivals: Sequence[Arrival], now: float
    ) -> None:
        """Ask a sender of the series, if that can help and was not done yet.

        Args:
            series: the series.
            facts: its instances and what peers said of it.
            arrivals: what each association brought.
            now: seconds since 1970.
        """
        if any(arrival.end is AssociationEnd.OPEN for arrival in arrivals):
            return
        if any(
            one.source is Source.SENDER_COUNT and one.at >= series.last_arrival
            for one in facts.statements
        ):
            return
        allowed = set(self._titles())
        senders = [ae for ae in dict.fromkeys(a.calling_ae for a in arrivals) if ae in allowed]
        if not senders or not self._is_new(series):
            return
        for sender in self._statements.askable(senders, now)[:1]:
            self._pool.submit(self._ask, sender, series.study_uid, series.uid)

    def stop(self) -> None:
        """Start no more queries; one that has started may still end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _is_new(self, series: SeriesRecord) -> bool:
        with self._lock:
            if self._asked.get(series.pk) == series.change:
                return False
            self._asked[series.pk] = series.change
            self._asked.move_to_end(series.pk)
            while len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return True

    def _ask(self, sender: str, study_uid: str, series_uid: str) -> None:
        at = self._clock()  # the answer is about the time of the query
        try:
            count = self._count(sender, study_uid, series_uid)
            if count is None:
                self._refused(sender, "its answer has no number of instances")
                return
            self._statements.answered(sender)
            statement = Statement(Source.SENDER_COUNT, sender, at, count=count)
            self._statements.add(series_uid, statement, reference=sender)
        except NodeError as error:
            self._refused(sender, str(error))
            return
        self._wake()

    def _refused(self, sender: str, reason: str) -> None:
        until = self._statements.refused(sender, reason, self._clock())
        wait = until - self._clock()
        log.info(
            "%s did not answer how many instances a series has: %s; the node asks it again in %g s",
            sender,
            reason,
            wait,
            extra={"peer": sender},
        )
