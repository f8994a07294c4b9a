"""Everything after receiving, as one: watch, assemble, publish, deliver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from node.completion.policy import Timing
from node.convert import OutputOptions
from node.deliver.courier import Courier, Route
from node.deliver.forward import Sender
from node.deliver.routes import make_routes
from node.deliver.rules import Rules
from node.deliver_settings import TargetSettings
from node.deliveries import NewDelivery, News
from node.habits import Habits
from node.index.engine import Index
from node.index.outbox import Outbox
from node.index.publications import Publications
from node.index.recorded import Recordings
from node.index.statements import Statements
from node.index.work import Work
from node.inquiry import Count, Inquiry
from node.production.foreman import Executor
from node.production.headstart import Apart
from node.watcher import make_watcher


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
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        self._index = index
        self._work = Work(index)
        self._output = output
        self._sender = sender
        self._clock = clock
        self._rules = Rules(targets, output)
        self._routes = self._made(targets)
        self._told = False
        self._courier = Courier(Outbox(index), clock)
        self._habits = Habits(Recordings(index), timing, learned=learned, clock=clock)
        self._inquiry = Inquiry(
            Statements(index), titles=titles, count=count, clock=clock, wake=self.wake
        )
        self._watcher = make_watcher(
            index,
            executor,
            archive=archive.absolute(),
            output=output,
            template=template,
            options=options,
            timing=self._habits.timing,
            owner=owner,
            clock=clock,
            rules=self._tell,
            inquirer=self._inquiry,
            stepped=self._stepped,
            apart=apart,
            minimum_free=minimum_free,
        )

    def start(self) -> None:
        """Take up what an earlier run left, and start."""
        self._habits.start()
        self._courier.start(self._routes)
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
        self._courier.start(routes)

    def stop(self, timeout: float) -> None:
        """Publish and deliver what can be in `timeout` seconds; the rest keeps in the index."""
        end = self._clock() + timeout
        self._inquiry.stop()
        self._watcher.stop(timeout)
        self._courier.stop(max(0.5, end - self._clock()))
        self._habits.stop()

    def _made(self, targets: Sequence[TargetSettings]) -> dict[str, Route]:
        return make_routes(
            targets,
            instances=self._work.instances,
            attributes=self._work.attributes,
            sender=self._sender,
            published=Publications(self._index).digests,
            clock=self._clock,
        )

    def _tell(self, news: News) -> list[NewDelivery]:
        told = self._rules(news)
        self._told = self._told or bool(told)
        return told

    def _stepped(self) -> None:
        if self._told:
            self._told = False
            self._courier.wake()
