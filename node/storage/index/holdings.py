"""How many instances an index has ever listed, to recognise an emptied or older one."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import inspect, select

from node.storage.index import totals
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, RootIdentityRow, TotalRow
from node.storage.index.totals import LISTED, Total


class Holdings(NamedTuple):
    """What an index holds.

    Attributes:
        listed: how many instances and conflicts it has ever listed; None: it is of an earlier
            version, which did not count them.
        is_new: whether it was never used: it has no instances and no identity.
    """

    listed: int | None
    is_new: bool


def holdings(index: Index) -> Holdings:
    """What the index holds, without reading all rows.

    Raises:
        IndexUnavailable: it does not answer. IndexDamaged: it cannot be read.
    """
    with index.reading() as connection:
        tables = set(inspect(connection).get_table_names())
        if InstanceRow.__tablename__ not in tables:
            return Holdings(0, is_new=True)
        listed = None
        if TotalRow.__tablename__ in tables:
            listed = connection.scalar(select(TotalRow.value).where(TotalRow.name == LISTED))
        owned = RootIdentityRow.__tablename__ in tables and bool(
            connection.scalar(select(RootIdentityRow.identity))
        )
        some = connection.scalar(select(InstanceRow.id).limit(1)) is not None
        if not some and listed and totals.read(connection)[Total.INSTANCES] > 0:
            listed = 0  # the table was emptied
        return Holdings(listed, is_new=not owned and not some)


def listed(index: Index) -> int:
    """How many instances and conflicts the index has ever listed.

    Raises:
        IndexUnavailable: it does not answer. IndexDamaged: it cannot be read.
    """
    with index.reading() as connection:
        return connection.scalar(select(TotalRow.value).where(TotalRow.name == LISTED)) or 0
