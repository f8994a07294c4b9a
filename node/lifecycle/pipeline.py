"""Everything after receiving, as one: watch, assemble, publish, deliver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from node.completion.policy import Timing
from node.convert import OutputOptions
from node.core.events import NewDelivery, SeriesEvent
from node.core.settings.deliver import TargetSettings
from node.core.supervision import Loop
from node.deliver.dispatcher import OutboxDispatcher, Route
from node.deliver.forward import Sender
from node.deliver.routes import make_routes
from node.deliver.rules import Rules
from node.lifecycle.assembly.precompression import Apart
from node.lifecycle.assembly.scheduler import Executor
from node.lifecycle.results.answers import CommandAnswers
from node.lifecycle.results.kept import ResultStore
from node.lifecycle.results.sending import ResultRoutes
from node.lifecycle.sender_counts import Count, SenderCountQuery
from node.lifecycle.sender_statistics import SenderStatistics
from node.lifecycle.watcher import make_watcher
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.series.publications import Publications
from node.storage.index.series.recorded import Recordings
from node.storage.index.series.work import Work


class Results:
    """Turns what is stored into results, and takes them to whoever wants them.

    Args:
        executor: where volumes are made.
        apart: does in advance what can be done of a series that is still arriving.
        minimum_free: bytes of the disk that are left free by that.
        archive: the folder that the instances' paths are relative to.
        output: the folder that volumes appear in.
        template: `output.name`.
        options: which files are made of a volume.
        timing: the settings of completion.
        learned: whether `completion.quiet_seconds` says `learned`.
        targets: `deliver:`.
        titles: the AE titles that may be asked for counts, as the settings say now.
        count: asks one of them.
        sender: brings instances to a DICOM peer.
        page: the URL of the node's page; empty: it has none.
        owner: this run of the node, unlike any other.
        clock: seconds since 1970.

    Raises:
        ConfigError: a secret's file cannot be read.
    """

    def __init__(
        self,
        index: Index,
        executor: Executor,
        apart: Apart,
        *,
        minimum_free: int,
        archive: Path,
        output: Path,
        template: str,
        options: OutputOptions,
        timing: Timing,
        learned: bool,
        targets: Sequence[TargetSettings],
        titles: Callable[[], Sequence[str]],
        count: Count,
        sender: Sender,
        page: str,
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        self._index = index
        self._work = Work(index)
        self._output = output
        self._archive = archive.absolute()
        self._sender = sender
        self._page = page
        self._clock = clock
        self._outbox = Outbox(index)
        self._store = ResultStore(archive.absolute().parent, self._outbox, minimum_free, clock)
        self._result_routes = ResultRoutes(self._outbox, self._store, sender)
        self._rules = Rules(targets, output)
        self._routes = self._made(targets)
        self._told = False
        self._dispatcher = OutboxDispatcher(self._outbox, clock)
        self._result_loop = Loop("results", self._look_after_results, vital=False)
        self._sender_statistics = SenderStatistics(
            Recordings(index), timing, learned=learned, clock=clock
        )
        self._count_query = SenderCountQuery(
            Statements(index), titles=titles, count=count, clock=clock, wake=self.wake
        )
        self._watcher = make_watcher(
            index,
            executor,
            archive=archive.absolute(),
            output=output,
            template=template,
            options=options,
            timing=self._sender_statistics.timing,
            owner=owner,
            clock=clock,
            rules=self._tell,
            inquirer=self._count_query,
            stepped=self._stepped,
            apart=apart,
            minimum_free=minimum_free,
        )

    def start(self) -> None:
        """Take up what an earlier run left, and start."""
        self._sender_statistics.start()
        self._dispatcher.start(self._routes | self._result_routes.wanted())
        self._result_loop.start()
        self._watcher.start()

    def wake(self) -> None:
        """Something was stored, an association ended, or somebody said something."""
        self._watcher.wake()

    def reread(self, targets: Sequence[TargetSettings]) -> None:
        """Deliver by other rules from now on.

        Raises:
            ConfigError: a secret's file cannot be read; nothing has changed.
        """
        routes = self._made(targets)
        self._rules = Rules(targets, self._output)
        self._routes = routes
        self._dispatcher.start(routes | self._result_routes.wanted())

    def stop(self, timeout: float) -> None:
        """Publish and deliver what can be in `timeout` seconds; the rest keeps in the index."""
        end = self._clock() + timeout
        self._count_query.stop()
        self._watcher.stop(timeout)
        self._result_loop.ask_to_stop()
        self._dispatcher.stop(max(0.5, end - self._clock()))
        self._sender_statistics.stop()

    def _made(self, targets: Sequence[TargetSettings]) -> dict[str, Route]:
        return make_routes(
            targets,
            instances=self._work.instances,
            attributes=self._work.attributes,
            sender=self._sender,
            published=Publications(self._index).digests,
            clock=self._clock,
            archive=self._archive,
            page=self._page,
            answers=lambda settings: CommandAnswers(
                settings.name, self._work, self._store, self._outbox, self._archive, self._output
            ),
        )

    def _look_after_results(self) -> float:
        """Send results to peers that nothing was sent to before, and remove what is done."""
        if self._result_routes.is_new():
            self._dispatcher.start(self._routes | self._result_routes.wanted())
        return self._result_routes.clean()

    def _tell(self, news: SeriesEvent) -> list[NewDelivery]:
        told = self._rules(news)
        self._told = self._told or bool(told)
        return told

    def _stepped(self) -> None:
        if self._told:
            self._told = False
            self._dispatcher.wake()
