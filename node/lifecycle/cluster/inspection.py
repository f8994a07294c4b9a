"""Inspects a cluster before it is used: its workers, and whether they see the storage root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.lifecycle.cluster.connection import ANSWER_SECONDS, Certificates, ClusterConnection
from node.lifecycle.cluster.worker_side import visible_identity


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What an inspection found.

    Attributes:
        workers: the address of each, and its number of threads.
        fault: why no job can run there; None if one can.
        blind: workers that do not see the storage root, or that see another one in its place.
    """

    workers: Mapping[str, int] = field(default_factory=dict)
    fault: str | None = None
    blind: tuple[str, ...] = ()


def inspect_cluster(
    address: str, tls: Certificates | None, root: Path, file: str, identity: str | None
) -> ClusterReport:
    """Connect, ask every worker whether it sees `root`, and leave.

    Args:
        address: of the scheduler, `tcp://host:port` or `tls://host:port`.
        tls: the node's certificate; None: without TLS.
        root: `storage.root`, absolute.
        file: the name of the file in it that has its identity.
        identity: the identity; None if there is none yet.

    Returns:
        what was found.

    Raises:
        ConfigError: distributed is not installed, or the certificates cannot be used.
    """
    connection = ClusterConnection(address, tls)
    try:
        state = connection.query()
        if state is not None and state.fault is not None:
            return ClusterReport(fault=state.fault)
        if state is None or connection.client is None:
            return ClusterReport(fault=f"the dask scheduler at {address} does not answer")
        answers = connection.client.run(
            visible_identity, str(root), file, on_error="return", callback_timeout=ANSWER_SECONDS
        )
        blind = sorted(worker for worker, found in answers.items() if found != (identity or ""))
        return ClusterReport(state.workers, None, tuple(blind))
    except TimeoutError:
        return ClusterReport(fault=f"workers of the dask cluster at {address} do not answer")
    finally:
        connection.close()
