"""What peers said of the extent of series, and which peers would not say."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, func, insert, select, update

from node.completion.facts import Source, Statement
from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import RefusalRow, SeriesRow, StatementRow

FIRST_REFUSAL_SECONDS = 600.0  # a peer that refused is asked again after this,
LONGEST_REFUSAL_SECONDS = 86400.0  # then after twice as long each time, up to this


class Statements:
    """Keeps statements by the series' UID, as they may come before its first instance."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, series_uid: str, statement: Statement, reference: str) -> None:
        """Keep a statement in place of an earlier one of the same reference.

        A series that waits or rests is looked at again at once, one that is being assembled when
        that is done.

        Args:
            reference: what tells the statement from others of its source: the UID of the MPPS,
                of the transaction, or the peer's name.
        """
        row = StatementRow
        uids = None if statement.uids is None else sorted(statement.uids)
        with self._index.writing() as connection:
            connection.execute(
                delete(row).where(
                    row.series_uid == series_uid,
                    row.source == statement.source,
                    row.reference == reference,
                )
            )
            connection.execute(
                insert(row).values(
                    series_uid=series_uid,
                    source=statement.source,
                    reference=reference,
                    peer=statement.by,
                    at=statement.at,
                    final=statement.final,
                    instances=statement.count,
                    uids=uids,
                )
            )
            connection.execute(
                update(SeriesRow)
                .where(
                    SeriesRow.uid == series_uid,
                    SeriesRow.state.not_in((SeriesState.SETTLED, SeriesState.ASSEMBLING)),
                )
                .values(due=statement.at)
            )

    def of(self, series_uid: str) -> tuple[Statement, ...]:
        """Every statement about a series.

        Of one whose UID came under several studies or patients a sender's count says nothing: it
        is not known of which.
        """
        query = select(StatementRow).where(StatementRow.series_uid == series_uid)
        parts = select(func.count()).where(SeriesRow.uid == series_uid)
        with self._index.reading() as connection:
            if (connection.scalar(parts) or 0) > 1:
                query = query.where(StatementRow.source != Source.SENDER_COUNT)
            rows = connection.execute(query.order_by(StatementRow.at)).all()
        return tuple(
            Statement(
                source=Source(row.source),
                by=row.peer,
                at=row.at,
                final=row.final,
                count=row.instances,
                uids=None if row.uids is None else frozenset(row.uids),
            )
            for row in rows
        )

    def refused(self, peer: str, reason: str, now: float) -> float:
        """Remember that a peer would not answer; returns until when it is not asked again."""
        row = RefusalRow
        with self._index.writing() as connection:
            times = connection.scalar(select(row.times).where(row.peer == peer)) or 0
            wait = min(FIRST_REFUSAL_SECONDS * 2.0 ** min(times, 20), LONGEST_REFUSAL_SECONDS)
            connection.execute(delete(row).where(row.peer == peer))
            connection.execute(
                insert(row).values(
                    peer=peer, at=now, until=now + wait, times=times + 1, reason=reason
                )
            )
        return now + wait

    def answered(self, peer: str) -> None:
        """Forget a peer's refusals."""
        with self._index.writing() as connection:
            connection.execute(delete(RefusalRow).where(RefusalRow.peer == peer))

    def askable(self, peers: Collection[str], now: float) -> list[str]:
        """Those of `peers` that have not refused lately."""
        row = RefusalRow
        query = select(row.peer).where(row.peer.in_(list(peers)), row.until > now)
        with self._index.reading() as connection:
            silent = set(connection.scalars(query))
        return [peer for peer in peers if peer not in silent]
