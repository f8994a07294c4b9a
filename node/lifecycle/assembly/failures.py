"""What follows when an assembly fails: the series is queued again, or ends as failed."""

from __future__ import annotations

import errno
import logging
from typing import Any

from node.completion.states import Event, follow
from node.core.errors import NodeError, Retryable, error_reference, traced
from node.core.records import SeriesRecord, SeriesState
from node.core.supervision.retry import backoff
from node.lifecycle.assembly.jobs import ExecutorAway, WorkerDied
from node.lifecycle.assembly.outcomes import ACTOR, Outcomes
from node.lifecycle.log_fields import series_fields
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

MOST_WORKER_DEATHS = 2  # of one series in a row; then the series is to blame
MOST_UNEXPECTED_ERRORS = 3  # of one series in a row; then it is failed
MOST_OWNER_DEATHS = 10  # likewise, of the whole node
FIRST_DELAY_SECONDS = 15.0  # before a retryable failure is tried again; doubled each time,
LONGEST_DELAY_SECONDS = 600.0  # up to this
_delay = backoff(FIRST_DELAY_SECONDS, 2, LONGEST_DELAY_SECONDS)
_RETRYABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)


class AssemblyFailures:
    """Decides by the kind of a failure, and by how often it happened, whether to try again.

    Args:
        work: the series in the index.
        outcomes: records that a series has failed.
    """

    def __init__(self, work: Work, outcomes: Outcomes) -> None:
        self._work = work
        self._outcomes = outcomes

    def failed(self, series: SeriesRecord, error: BaseException, now: float) -> None:
        """Deal with the error that an assembly ended with.

        Args:
            series: as it was when it was handed to the executor.
            error: the error of its job.
            now: seconds since 1970.

        Raises:
            Retryable: the index cannot be written to now.
        """
        if isinstance(error, WorkerDied):
            deaths = 1 + self._count(series.pk, "worker died")
            if deaths < MOST_WORKER_DEATHS:
                self.requeue(series, now, now + deaths, "worker died")
            else:
                sentence = (
                    f"the worker process died {deaths} times in a row, for lack of memory or by a "
                    "crash; `rasnode retry` tries again"
                )
                self._outcomes.fail(series, "worker-died", sentence, now)
        elif isinstance(error, ExecutorAway):
            log.warning(
                "series %s waits to be assembled: %s",
                series.address,
                error,
                extra=series_fields(series),
            )
            self.requeue(series, now, None, "executor away", str(error))
        elif isinstance(error, Retryable) or _is_retryable(error):
            self.delay(series, now, str(error))
        elif isinstance(error, NodeError):
            self._outcomes.fail(series, type(error).__name__, str(error), now)
        elif isinstance(error, MemoryError):
            sentence = (
                "its volumes need more memory than one worker may have; give workers more "
                "(assembly.worker_memory) and retry the series"
            )
            self._outcomes.fail(series, "out-of-memory", sentence, now)
        else:
            reference = error_reference(error)
            log.error(
                "the assembly of series %s failed by an unexpected error (reference %s); "
                "please report it: %s",
                series.address,
                reference,
                traced(error),
                extra=series_fields(series),
            )
            self._outcomes.fail(series, type(error).__name__, _unexpected(reference), now)

    def unexpected(self, series: SeriesRecord, error: Exception, now: float) -> None:
        """Deal with an unexpected error of the node itself around an assembly.

        It costs the series one attempt, and after some in a row the series is failed.

        Args:
            series: the series that was being dealt with.
            error: what was raised.
            now: seconds since 1970.

        Raises:
            Retryable: the index cannot be written to now.
        """
        reference = error_reference(error)
        log.error(
            "the node met an unexpected error while it assembled series %s (reference %s); "
            "please report it: %s",
            series.address,
            reference,
            traced(error),
            extra=series_fields(series),
        )
        current = next(iter(self._work.of([series.pk])), None)
        if current is None or current.change != series.change:
            return  # the series has changed meanwhile, or was not taken
        if current.state is not SeriesState.ASSEMBLING:
            self._work.look_again(current, now + FIRST_DELAY_SECONDS)
        elif self._count(series.pk, "error") + 1 < MOST_UNEXPECTED_ERRORS:
            self.requeue(current, now, now + 1.0, "error", f"reference {reference} in the log")
        else:
            kind = type(error).__name__
            self._outcomes.fail(current, kind, _unexpected(reference), now)

    def abandoned(self, series: SeriesRecord, now: float) -> None:
        """Queue a series again that a node that no longer runs was assembling.

        Args:
            series: the series.
            now: seconds since 1970.
        """
        deaths = 1 + self._count(series.pk, "owner died")
        if deaths > MOST_OWNER_DEATHS:
            sentence = f"the node died {deaths} times in a row while it assembled the series"
            self._outcomes.fail(series, "node-died", sentence, now)
            return
        log.warning(
            "a node that no longer runs was assembling series %s; it is assembled again",
            series.address,
            extra=series_fields(series),
        )
        self.requeue(series, now, None, "owner died")

    def delay(self, series: SeriesRecord, now: float, why: str) -> None:
        """Queue a series again after a pause, however often: the disk is full, say.

        Args:
            series: the series.
            now: seconds since 1970.
            why: what has to change before it can succeed, for an administrator.
        """
        seconds = _delay(1 + self._count(series.pk, "delayed"))
        log.warning(
            "series %s cannot be assembled now: %s; the node tries again in %g s",
            series.address,
            why,
            seconds,
            extra=series_fields(series),
        )
        self.requeue(series, now, now + seconds, "delayed", why)

    def requeue(
        self, series: SeriesRecord, now: float, due: float | None, cause: str, why: str = ""
    ) -> None:
        """Queue a series again, unless it has changed meanwhile.

        Args:
            series: the series.
            now: seconds since 1970.
            due: when to start it, seconds since 1970; None: as soon as a worker is free.
            cause: the same text for the same kind of failure; failures are counted by it.
            why: shown to people as long as the series waits.
        """
        detail = {"cause": cause, "why": why} if why else {"cause": cause}
        state = follow(series.state, Event.REQUEUE)
        values: dict[str, Any] = {}
        if why:
            values["verdict"] = {**(series.verdict or {}), "waits": why}
        self._work.move(
            series, state, now=now, actor=ACTOR, detail=detail, due=due, owner="", **values
        )

    def _count(self, series_pk: int, cause: str) -> int:
        """How many times in a row the series was queued again for a cause."""
        count = 0
        for event in reversed(self._work.history(series_pk)):
            if event["to_state"] == SeriesState.ASSEMBLING:
                continue
            if event["detail"].get("cause") != cause:
                break
            count += 1
        return count


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _RETRYABLE


def _unexpected(reference: str) -> str:
    return f"an unexpected error; please report what the log says at reference {reference}"
