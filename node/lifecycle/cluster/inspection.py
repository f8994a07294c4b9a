"""A look at a cluster before it is used: who works there, and what do they see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.lifecycle.cluster.link import ANSWER_SECONDS, Certificates, Link
from node.lifecycle.cluster.sight import sees


@dataclass(frozen=True, slots=True)
class Look:
    """What was found.

    Attributes:
        workers: address -> number of threads.
        fault: why nothing can be computed there.
        blind: workers that do not see the storage root, or see another one in its place.
    """

    workers: Mapping[str, int] = field(default_factory=dict)
    fault: str | None = None
    blind: tuple[str, ...] = ()


def look_round(
    address: str, tls: Certificates | None, root: Path, file: str, identity: str | None
) -> Look:
    """Connect, ask every worker whether it sees `root`, and leave.

    Args:
        root: `storage.root`, absolute.
        file: what its identity is kept in.
        identity: what the node reads there; None: nothing yet.

    Raises:
        ConfigError: distributed is not installed, or the certificates cannot be used.
    """
    link = Link(address, tls)
    try:
        seen = link.look()
        if seen is not None and seen.fault is not None:
            return Look(fault=seen.fault)
        if seen is None or link.client is None:
            return Look(fault=f"the dask scheduler at {address} does not answer")
        answers = link.client.run(
            sees, str(root), file, on_error="return", callback_timeout=ANSWER_SECONDS
        )
        blind = sorted(worker for worker, said in answers.items() if said != (identity or ""))
        return Look(seen.workers, None, tuple(blind))
    except TimeoutError:
        return Look(fault=f"workers of the dask cluster at {address} do not answer")
    finally:
        link.close()
