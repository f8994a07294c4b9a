"""The identity of the storage root that a database belongs to."""

from __future__ import annotations

from sqlalchemy import inspect, select, text

from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, RootIdentityRow


def owner(index: Index) -> str | None:
    """The identity of the root that the database belongs to; None if no root has claimed it."""
    with index.reading() as connection:
        if not inspect(connection).has_table(RootIdentityRow.__tablename__):
            return None  # a database without tables, or an earlier version's
        return connection.scalar(select(RootIdentityRow.identity))


def claim(index: Index, identity: str, now: float) -> str:
    """Write a root's identity into a database, unless another root has claimed it.

    Args:
        index: with this version's tables.
        identity: of the root.
        now: seconds since 1970.

    Returns:
        The identity that the database has now.
    """
    with index.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO root_identity (id, identity, claimed_at) VALUES (1, :identity, :now)"
                " ON CONFLICT (id) DO NOTHING"
            ),
            {"identity": identity, "now": now},
        )
        return str(connection.scalar(select(RootIdentityRow.identity)))


def any_path(index: Index) -> str | None:
    """The path of the newest instance in the archive; None if the index has none."""
    with index.reading() as connection:
        if not inspect(connection).has_table(InstanceRow.__tablename__):
            return None
        newest = select(InstanceRow.path).order_by(InstanceRow.id.desc()).limit(1)
        return connection.scalar(newest)
