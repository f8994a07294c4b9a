"""Peers' statements of what belongs to a series, and peers that refused a query for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import BindParameter, bindparam, delete, func, insert, select, update

from node.completion.facts import Source, Statement
from node.core.records import SeriesState
from node.core.supervision.retry import backoff
from node.storage.index.engine import Index
from node.storage.index.schema import RefusalRow, SeriesRow, StatementRow

FIRST_REFUSAL_SECONDS = 600.0  # after which a peer that refused is asked again,
LONGEST_REFUSAL_SECONDS = 86400.0  # doubled with each further refusal up to this
_UID: Final[BindParameter[str]] = bindparam("uid")
_STATEMENTS: Final = (
    select(
        StatementRow.source,
        StatementRow.peer,
        StatementRow.at,
        StatementRow.final,
        StatementRow.instances,
        StatementRow.uids,
        select(func.count()).where(SeriesRow.uid == _UID).scalar_subquery().label("parts"),
    )
    .where(StatementRow.series_uid == _UID)
    .order_by(StatementRow.at)
)
_FORGET: Final = delete(StatementRow).where(
    StatementRow.series_uid == bindparam("series"),
    StatementRow.source == bindparam("of"),
    StatementRow.reference == bindparam("by"),
)
_ADD: Final = insert(StatementRow)
_LOOK: Final = update(SeriesRow).where(
    SeriesRow.uid == bindparam("series"),
    SeriesRow.state.not_in((SeriesState.SETTLED, SeriesState.ASSEMBLING)),
)
_pause = backoff(first=FIRST_REFUSAL_SECONDS, factor=2.0, longest=LONGEST_REFUSAL_SECONDS)


class Statements:
    """Keeps statements by the series' UID, as they may be received before its first instance."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, series_uid: str, statement: Statement, reference: str) -> None:
        """Add a statement on one series, as `add_all` does."""
        self.add_all({series_uid: statement}, reference)

    def add_all(self, statements: Mapping[str, Statement], reference: str) -> None:
        """Add statements; each replaces an earlier one of the same source and reference.

        The watcher looks at the series at once, or after their assembly.

        Args:
            statements: by the UIDs of the series.
            reference: identifies them among those of their source: the UID of the MPPS or of the
                transaction, or the peer's name.
        """
        with self._index.writing() as connection:
            for uid, said in statements.items():
                key = {"series": uid, "of": said.source, "by": reference}
                connection.execute(_FORGET, key)
                row = {
                    "series_uid": uid,
                    "source": said.source,
                    "reference": reference,
                    "peer": said.by,
                    "at": said.at,
                    "final": said.final,
                    "instances": said.count,
                    "uids": None if said.uids is None else sorted(said.uids),
                }
                connection.execute(_ADD, row)
                connection.execute(_LOOK, {"series": uid, "due": said.at})

    def of(self, series_uid: str) -> tuple[Statement, ...]:
        """Every statement on a series.

        If several studies or patients have a series of this UID, counts by the sender are left out,
        as it is not known which series they count.
        """
        with self._index.reading() as connection:
            rows = connection.execute(_STATEMENTS, {"uid": series_uid}).all()
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
            if row.parts < 2 or row.source != Source.SENDER_COUNT
        )

    def refused(self, peer: str, reason: str, now: float) -> float:
        """Note that a peer refused a query.

        Args:
            peer: its AE title.
            reason: why.
            now: seconds since 1970.

        Returns:
            Until when it is not asked again; seconds since 1970.
        """
        row = RefusalRow
        with self._index.writing() as connection:
            times = connection.scalar(select(row.times).where(row.peer == peer)) or 0
            wait = _pause(times + 1)
            connection.execute(delete(row).where(row.peer == peer))
            connection.execute(
                insert(row).values(
                    peer=peer, at=now, until=now + wait, times=times + 1, reason=reason
                )
            )
        return now + wait

    def answered(self, peer: str) -> None:
        """Remove the note of a peer's refusals: it has answered."""
        with self._index.writing() as connection:
            connection.execute(delete(RefusalRow).where(RefusalRow.peer == peer))

    def askable(self, peers: Collection[str], now: float) -> list[str]:
        """Those of `peers` that may be asked: they have not refused lately.

        Args:
            peers: AE titles.
            now: seconds since 1970.
        """
        row = RefusalRow
        query = select(row.peer).where(row.peer.in_(list(peers)), row.until > now)
        with self._index.reading() as connection:
            silent = set(connection.scalars(query))
        return [peer for peer in peers if peer not in silent]
