"""The loop that does the jobs: what is due, within the limits of job and peer, until it is over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from node.core.errors import NodeError, error_reference, traced
from node.core.fetch_limits import Rate, Window
from node.core.pulls import OVER, ItemState, JobState, Order, PullItem, PullJob
from node.core.settings.fetch import FetchSettings
from node.core.settings.model import PeerSettings
from node.core.supervision import Loop, background
from node.dimse.pull.fetcher import Fetcher
from node.dimse.pull.limits import PAUSES, Pace, Turn
from node.dimse.pull.means import Means
from node.dimse.pull.outcome import Result
from node.dimse.pull.question import BadKey, question
from node.dimse.pull.under_way import Phase, Running, UnderWay
from node.dimse.pull.way import Way
from node.storage.index.peers.pulls import Pulls

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.2
_STEP_SECONDS: Final = 60.0
_BUSY_SECONDS: Final = 2.0  # until a peer that took no further association is tried again
_MOST_BUSY: Final = 200  # times in a row, of one item
_STOPPED_SECONDS: Final = 5.0  # for what runs to be ended when the node stops


class PullWorker:
    """Does the jobs of the index.

    Args:
        pulls: the jobs.
        peers: the peers as the settings are now, by name.
        means: what fetching from a peer works with.
        local_time: now, in the node's local time.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        pulls: Pulls,
        *,
        peers: Callable[[], Mapping[str, PeerSettings]],
        means: Callable[[PeerSettings], Means],
        local_time: Callable[[], datetime] = datetime.now,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pulls = pulls
        self._peers = peers
        self._means = means
        self._local_time = local_time
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way = UnderWay()
        self._paces: dict[str, tuple[str, Pace]] = {}
        self._busy: dict[int, int] = {}
        self._begun = False
        self._loop = Loop("pull", self._step, limit=_STEP_SECONDS)

    def start(self) -> None:
        """Begin; what ran when the node ended goes on."""
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Begin nothing more, and end what runs; it goes on after the next start.

        Args:
            timeout: seconds.
        """
        until = time.monotonic() + min(timeout, _STOPPED_SECONDS)
        self._loop.stop(timeout)
        self._under_way.end(None)
        self._under_way.wait_for_all(until)

    def _step(self) -> float:
        if not self._begun:
            self._pulls.release_running()
            self._begun = True
        peers = self._peers()
        for job in self._pulls.active():
            if job.order is not None:
                self._obey(job)
            elif job.peer not in peers:
                self._under_way.end(job)
                reason = f"there is no peer {job.peer!r} in dicom.peers any more"
                self._set(job, JobState.FAILED, reason)
            else:
                self._further(job, peers[job.peer])
        return _LOOK_SECONDS

    def _obey(self, job: PullJob) -> None:
        """Do what a person wants of a job."""
        over = job.state in OVER
        after: JobState = job.state
        if job.order is Order.CANCEL and not over:
            after = JobState.CANCELLED
        elif job.order is Order.PAUSE and not over:
            after = JobState.PAUSED
        elif job.order is Order.RESUME and job.state is JobState.PAUSED:
            after = JobState.WAITING
        elif job.order is Order.RETRY:
            self._pulls.begin_again(job)
            self._under_way.forgive(job.peer)
            after = JobState.WAITING if job.state is not JobState.PAUSED else job.state
        if after in {JobState.CANCELLED, JobState.PAUSED}:
            self._under_way.end(job)
        self._pulls.set_state(job, after, self._clock(), done=True)
        log.info("pull job %s: %s", job.name, after, extra={"job": job.name})

    def _further(self, job: PullJob, peer: PeerSettings) -> None:
        """Begin what may be begun of a job; it is over when nothing is left."""
        own = Window.parse(job.window) if job.window else None
        theirs = Window.parse(peer.fetch.window) if peer.fetch.window else None
        now = self._local_time()
        closed = [window for window in (own, theirs) if window and not window.is_open(now)]
        if closed:
            self._under_way.end(job)
            if job.state is not JobState.WAITING or not job.reason:
                opens = max(window.opens_at(now) for window in closed)
                self._set(job, JobState.WAITING, f"it goes on at {opens:%H:%M}")
            return
        counts = self._pulls.counts(job)
        if not counts.get(ItemState.WAITING) and not counts.get(ItemState.RUNNING):
            self._finish(job, counts)
            return
        mine = self._under_way.items(job)
        if counts.get(ItemState.RUNNING, 0) > len(mine):
            self._pulls.release_running(self._under_way.items())
        room = self._under_way.room(job, peer.fetch.parallel)
        begun = self._pulls.due(job, self._clock(), max(0, room))
        for item in begun:
            self._begin(job, item, peer)
        if (mine or begun) and job.state is not JobState.RUNNING:
            self._set(job, JobState.RUNNING)

    def _finish(self, job: PullJob, counts: Mapping[ItemState, int]) -> None:
        tried = set(counts)
        failed = tried <= {ItemState.FAILED}
        reason = "no row of it could be tried; `rasnode pulls` says why" if failed else ""
        self._set(job, JobState.FAILED if failed else JobState.DONE, reason)
        said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        log.info("pull job %s is over: %s", job.name, said, extra={"job": job.name})

    def _begin(self, job: PullJob, item: PullItem, peer: PeerSettings) -> None:
        running = self._under_way.add(job, item)
        self._pulls.set_item(
            item, ItemState.RUNNING, reason=item.reason, tries=item.tries, due=item.due
        )
        background(f"pull {job.name} {item.row}", lambda: self._run(running, peer))

    def _run(self, running: Running, peer: PeerSettings) -> None:
        try:
            self._ended(running, self._tried(running, peer))
        finally:
            self._under_way.remove(running)
            self._loop.wake()

    def _tried(self, running: Running, peer: PeerSettings) -> Result:
        job, item = running.job, running.item
        try:
            asked = question(item.query, job.series)
            fetcher = Fetcher(
                self._means(peer),
                self._way(job, peer),
                stop=running.stop.is_set,
                pace=lambda expected: self._paced(running, peer, expected),
                seen=lambda studies: self._pulls.set_studies(item, studies),
                progress=lambda study, count: self._pulls.set_received(item, study, count),
                left=lambda: self._left(running),
            )
            return fetcher.run(asked)
        except BadKey as error:
            return Result(ItemState.REFUSED, reason=str(error))
        except NodeError as error:
            return Result(ItemState.FAILED, reason=str(error), again=True)
        except Exception as error:  # noqa: BLE001  it costs this try, never the job
            place = error_reference(error)
            log.error(
                "pull job %s, row %d failed (reference %s): %s",
                job.name,
                item.row,
                place,
                traced(error),
                extra={"job": job.name},
            )
            why = f"an error in rasnode; the log has it under the reference {place}"
            return Result(ItemState.FAILED, reason=why, again=True)

    def _way(self, job: PullJob, peer: PeerSettings) -> Way:
        wanted = job.by if job.by != "auto" else peer.fetch.by
        known = self._pulls.way(peer.name) if wanted == "auto" else None
        return Way(wanted, known, lambda by: self._pulls.remember_way(peer.name, by, self._clock()))

    def _ended(self, running: Running, result: Result) -> None:
        """Note what became of a try, and when there will be another."""
        item, now = running.item, self._clock()
        if result.stopped or (running.stop.is_set() and result.state is not ItemState.COMPLETE):
            self._again(item, result, item.reason, item.tries, 0.0)
            return
        self._under_way.learn(running, result)
        if result.busy and self._busy.get(item.pk, 0) < _MOST_BUSY:
            self._busy[item.pk] = self._busy.get(item.pk, 0) + 1
            self._again(item, result, result.reason, item.tries, now + _BUSY_SECONDS)
            return
        self._busy.pop(item.pk, None)
        if result.state is not ItemState.COMPLETE and result.again and item.tries < len(PAUSES):
            self._again(item, result, result.reason, item.tries + 1, now + PAUSES[item.tries])
            return
        self._pulls.set_item(
            item, result.state, reason=result.reason, tries=item.tries, studies=result.studies
        )

    def _again(self, item: PullItem, result: Result, reason: str, tries: int, due: float) -> None:
        self._pulls.set_item(
            item, ItemState.WAITING, reason=reason, tries=tries, due=due, studies=result.studies
        )

    def _paced(self, running: Running, peer: PeerSettings, expected: int) -> Turn | None:
        """Wait until a retrieve may begin; None if it is to end."""
        if not self._under_way.wait_to_retrieve(running, peer.fetch.parallel):
            return None
        places = [
            (pace, pace.reserve(expected)) for pace in self._paces_of(running.job, peer.fetch)
        ]
        turn = Turn(places, lambda: self._under_way.become(running, Phase.WAITS))
        if running.stop.wait(max(0.0, turn.begins_at - time.monotonic())):
            turn.end(0, 0)
            return None
        return turn

    def _paces_of(self, job: PullJob, fetch: FetchSettings) -> list[Pace]:
        rates = {f"job {job.pk}": job.rate, f"peer {job.peer}": fetch.rate or ""}
        paces = []
        with self._lock:
            for name, rate in rates.items():
                if not rate:
                    continue
                known = self._paces.get(name)
                if known is None or known[0] != rate:
                    known = self._paces[name] = (rate, Pace(Rate.parse(rate)))
                paces.append(known[1])
        return paces

    def _set(self, job: PullJob, state: JobState, reason: str = "") -> None:
        self._pulls.set_state(job, state, self._clock(), reason)
        if state in {JobState.DONE, JobState.FAILED}:
            with self._lock:
                self._paces.pop(f"job {job.pk}", None)

    def _left(self, running: Running) -> None:
        """Another item may ask the peer while this one waits for the archive."""
        self._under_way.become(running, Phase.LEFT)
        self._loop.wake()
