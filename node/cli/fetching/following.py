"""A job on the terminal: a bar until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from node.cli.output.progress import progress_bar
from node.core.errors import NodeError
from node.core.pulls import OVER, ItemState, JobState
from node.storage.index.peers.pulls import Pulls

_LOOK_SECONDS: Final = 0.1
_MOST_LOOK_SECONDS: Final = 2.0
_LOOK_SHARE: Final = 0.02
"""Of the time that the job has taken: each look costs the node processor time."""
_GONE_SECONDS: Final = 30.0  # a node that is restarted is back by then
_UNDER_WAY: Final = (ItemState.WAITING, ItemState.RUNNING)


def follow(pulls: Pulls, name: str, node_lives: Callable[[], bool]) -> None:
    """Return when a job is over, or a person has paused it.

    Args:
        pulls: the jobs.
        name: of the job.
        node_lives: whether there is a node that does it.

    Raises:
        NodeError: there has been none for a while.
    """
    began = alive = time.monotonic()
    with progress_bar("fetching") as bar:
        done = 0
        first: int | None = None
        while True:
            (job,) = pulls.jobs(name)
            counts = pulls.counts(job)
            ended = sum(count for state, count in counts.items() if state not in _UNDER_WAY)
            bar.total(sum(counts.values()))
            bar.advance(ended - done)
            done = ended
            expected, received = pulls.progress(job)
            first = received if first is None else first
            pace = (received - first) / max(time.monotonic() - began, 1.0)
            bar.describe(f"{job.state}, {received} of {expected} instances, {pace:.0f}/s")
            if job.state in OVER or job.state is JobState.PAUSED:
                return
            now = time.monotonic()
            if node_lives():
                alive = now
            elif now - alive > _GONE_SECONDS:
                raise NodeError(
                    f"no node runs any more: job {name} goes on when `rasnode serve` is started"
                )
            time.sleep(min(max(_LOOK_SECONDS, _LOOK_SHARE * (now - began)), _MOST_LOOK_SECONDS))
