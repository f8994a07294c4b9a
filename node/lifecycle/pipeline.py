"""Everything that follows receiving: completion, assembly, publishing, delivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from node.completion.decision import Timing
from node.convert import OutputOptions
from node.core.events import NewDelivery, SeriesEvent, StudyEvent
from node.core.output_rules import OutputRule
from node.core.settings.deliver import TargetSettings
from node.core.settings.expect import ExpectSettings
from node.core.supervision import Loop
from node.deliver.outbox_dispatcher import OutboxDispatcher, Route
from node.deliver.routes import make_routes
from node.deliver.rules import Rules
from node.deliver.targets.forward import Sender
from node.lifecycle.assembly.precompression import IdleProcess
from node.lifecycle.assembly.scheduler import Executor
from node.lifecycle.composition import make_completion_watcher
from node.lifecycle.expectations import Expectations
from node.lifecycle.results.command_images import CommandImages
from node.lifecycle.results.kept import ResultStore
from node.lifecycle.results.sending import ResultRoutes
from node.lifecycle.sender_count_query import Count, SenderCountQuery
from node.lifecycle.sender_statistics import SenderStatistics
from node.lifecycle.series_origins import PeerNames
from node.lifecycle.studies.sender_series_query import SenderSeriesQuery, SeriesOfStudy
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.series.publications import Publications
from node.storage.index.series.recorded_arrivals import Recordings
from node.storage.index.series.work import Work
from node.storage.index.studies.statements import StudyStatements


class Pipeline:
    """Makes volumes of what is stored, and delivers them.

    Args:
        index: the database.
        executor: runs the assemblies.
        idle_process: a process that compresses slices of series that are still being received.
        minimum_free: bytes of the disk that it leaves free.
        archive: the folder that the instances' paths are relative to.
        output: the folder that volumes are published in.
        template: `output.name`.
        output_rules: `output.rules`.
        options: which files are made of a volume.
        timing: the settings of `completion`.
        learned: whether `completion.quiet_seconds` is `learned`.
        targets: the entries of `deliver:`.
        expect: the entries of `expect:`.
        titles: returns the AE titles that may be asked for counts.
        count: asks one of them.
        series_of_study: asks one of them which series a study has.
        study_quiet: `completion.study_quiet_seconds`.
        peer_names: returns the names in `dicom.peers` of a sender.
        sender: stores instances at a DICOM peer.
        page: the URL of the node's page; empty: it has none.
        owner: identifies this run of the node.
        clock: returns seconds since 1970.

    Raises:
        ConfigError: a file of a secret or a protocol cannot be read.
    """

    def __init__(
        self,
        index: Index,
        executor: Executor,
        idle_process: IdleProcess,
        *,
        minimum_free: int,
        archive: Path,
        output: Path,
        template: str,
        output_rules: Sequence[OutputRule],
        options: OutputOptions,
        timing: Timing,
        learned: bool,
        targets: Sequence[TargetSettings],
        expect: Sequence[ExpectSettings] = (),
        titles: Callable[[], Sequence[str]],
        count: Count,
        series_of_study: SeriesOfStudy,
        study_quiet: float,
        peer_names: PeerNames,
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
        self._store = ResultStore(self._archive.parent, self._outbox, minimum_free, clock)
        self._result_routes = ResultRoutes(self._outbox, self._store, sender)
        self._rules = Rules(targets, output)
        self._expectations = Expectations(expect)
        self._routes = self._make_routes(targets)
        self._has_deliveries = False
        self._dispatcher = OutboxDispatcher(self._outbox, clock)
        self._result_loop = Loop("results", self._look_after_results, vital=False)
        self._sender_statistics = SenderStatistics(
            Recordings(index), timing, learned=learned, clock=clock
        )
        self._count_query = SenderCountQuery(
            Statements(index), titles=titles, count=count, clock=clock, wake=self.wake
        )
        self._series_query = SenderSeriesQuery(
            self._work,
            StudyStatements(index),
            Statements(index),
            titles=titles,
            ask=series_of_study,
            clock=clock,
            wake=self.wake,
        )
        self._watcher = make_completion_watcher(
            index,
            executor,
            archive=archive.absolute(),
            output=output,
            template=template,
            output_rules=output_rules,
            options=options,
            timing=self._sender_statistics.timing,
            owner=owner,
            clock=clock,
            rules=self._deliveries_of,
            study_rules=self._deliveries_of_study,
            has_targets=lambda: self._rules.has_targets,
            study_quiet=study_quiet,
            peer_names=peer_names,
            count_query=self._count_query,
            series_query=self._series_query,
            stepped=self._stepped,
            idle_process=idle_process,
            minimum_free=minimum_free,
            expectations=lambda: self._expectations,
        )

    def start(self) -> None:
        """Recover what an earlier run left unfinished, and start."""
        self._sender_statistics.start()
        self._dispatcher.start(self._routes | self._result_routes.wanted())
        self._result_loop.start()
        self._watcher.start()

    def wake(self) -> None:
        """Look now: an instance was stored, an association ended, or a peer said something."""
        self._watcher.wake()

    def reread(self, targets: Sequence[TargetSettings], expect: Sequence[ExpectSettings]) -> None:
        """Deliver and compare by changed settings from now on.

        Args:
            targets: the entries of `deliver:`.
            expect: the entries of `expect:`; their files are read again.

        Raises:
            ConfigError: a file of a secret or a protocol cannot be read; nothing has changed.
        """
        expectations = Expectations(expect)
        routes = self._make_routes(targets)
        self._expectations = expectations
        self._rules = Rules(targets, self._output)
        self._routes = routes
        self._dispatcher.start(routes | self._result_routes.wanted())

    def stop(self, timeout: float) -> None:
        """Publish and deliver what is possible in `timeout` seconds; the index keeps the rest."""
        end = self._clock() + timeout
        self._count_query.stop()
        self._series_query.stop()
        self._watcher.stop(timeout)
        self._result_loop.ask_to_stop()
        self._dispatcher.stop(max(0.5, end - self._clock()))
        self._sender_statistics.stop()

    def _make_routes(self, targets: Sequence[TargetSettings]) -> dict[str, Route]:
        return make_routes(
            targets,
            instances=self._work.instances,
            attributes=self._work.attributes,
            sender=self._sender,
            published=Publications(self._index).digests,
            clock=self._clock,
            archive=self._archive,
            page=self._page,
            result_images=lambda settings: CommandImages(
                settings.name, self._work, self._store, self._outbox, self._archive, self._output
            ),
        )

    def _look_after_results(self) -> float:
        """Send results to peers that nothing was sent to before, and remove what was delivered."""
        if self._result_routes.is_new():
            self._dispatcher.start(self._routes | self._result_routes.wanted())
        return self._result_routes.clean()

    def _deliveries_of(self, event: SeriesEvent) -> list[NewDelivery]:
        deliveries = self._rules(event)
        self._has_deliveries = self._has_deliveries or bool(deliveries)
        return deliveries

    def _deliveries_of_study(self, event: StudyEvent) -> list[NewDelivery]:
        deliveries = self._rules.of_study(event)
        self._has_deliveries = self._has_deliveries or bool(deliveries)
        return deliveries

    def _stepped(self) -> None:
        if self._has_deliveries:
            self._has_deliveries = False
            self._dispatcher.wake()
