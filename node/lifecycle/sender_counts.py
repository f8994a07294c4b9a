"""Asks senders how many instances they have of a series (`query_back`), and hears who will not."""

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

AT_ONCE = 2  # questions under way; a sender that is slow to answer holds up nobody else
_REMEMBERED = 4096  # series that need not be asked about again until they change

Count = Callable[[str, str, str], int | None]
"""How many instances a peer (by its AE title) has of a study's series; None if it does not say.

Raises NodeError if the peer is away, or does not answer queries.
"""


class SenderCountQuery:
    """Asks once for each state of a series, when the associations that brought it are over.

    Args:
        titles: the AE titles that may be asked, as the settings say now.
        count: asks one of them.
        clock: seconds since 1970.
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
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="inquiry")
        self._lock = threading.Lock()

    def consider(
        self, series: SeriesRecord, facts: SeriesFacts, arrivals: Sequence[Arrival], now: float
    ) -> None:
        """Ask whoever sent the series, if that can help and has not been done."""
        if any(arrival.end is AssociationEnd.OPEN for arrival in arrivals):
            return
        if any(
            said.source is Source.SENDER_COUNT and said.at >= series.last_arrival
            for said in facts.statements
        ):
            return
        may = set(self._titles())
        senders = [ae for ae in dict.fromkeys(a.calling_ae for a in arrivals) if ae in may]
        if not senders or not self._is_new(series):
            return
        for sender in self._statements.askable(senders, now)[:1]:
            self._pool.submit(self._ask, sender, series.study_uid, series.uid)

    def stop(self) -> None:
        """Ask nothing more; a question under way may still be answered."""
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
        at = self._clock()  # an answer is about the time of the question
        try:
            count = self._count(sender, study_uid, series_uid)
            if count is None:
                self._refused(sender, "it does not say how many instances a series has")
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
        log.info("%s is not asked for counts for %g s: %s", sender, wait, reason)
