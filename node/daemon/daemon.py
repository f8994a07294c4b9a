"""The composition root: builds everything from the settings, and owns start and stop."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import sdnotify

from node.core import metrics
from node.core.errors import ConfigError, error_reference, traced
from node.core.output_names import check_template
from node.core.recent_log import rotate
from node.core.settings.file import Configuration
from node.core.settings.model import Settings
from node.core.settings.passcodes import outdated_users
from node.core.supervision import Loop, Watchdog, install_hooks
from node.core.system.listening import bound_for_page
from node.daemon import from_settings
from node.daemon.page import PageParts, make_page
from node.daemon.receiving.process import SWITCH_SECONDS
from node.daemon.receiving.supervisor import ReceiverSupervisor
from node.deliver.target_checks import faults
from node.dimse.pull.opening import pull_worker
from node.dimse.scu.outgoing import Outgoing
from node.dimse.upper_layer.pynetdicom_internals import check_version
from node.lifecycle.assembly.task import assemble
from node.lifecycle.pipeline import Pipeline
from node.lifecycle.verification.damage_reporter import DamageReporter
from node.lifecycle.verification.loop import VerificationLoop
from node.lifecycle.workers.idle_worker import IdleWorker
from node.lifecycle.workers.local import make_workers
from node.storage import index_completeness
from node.storage.archive import Archive
from node.storage.identity import claim, refuse_foreign
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.recovery import recover
from node.storage.ingest.report import Report
from node.storage.ingest.supervisor import IngestSupervisor
from node.storage.journal import Journal
from node.storage.quarantine import Quarantine
from node.storage.run_file import RunState, announce, withdraw
from node.web.viewer.client import ViewerProcess

if TYPE_CHECKING:
    from node.web.change_feed import ChangeFeed
    from node.web.http.server import WebServer

log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 2.0
_PRUNE_SECONDS = 3600.0
_RECEIVE_SHARE = 0.4  # of shutdown_seconds, for open C-STOREs
_INGEST_SHARE = 0.1  # for records that are not ingested yet: the rest waits for the next start
_PULL_SECONDS = 3.0  # for retrieves to be cancelled: they go on after the next start
_VERIFY_SECONDS = 2.0  # for the file that is being verified: it is verified after the next start
_VIEWER_SECONDS = 2.0  # for a slice that is being drawn
_RESULTS_SHARE = 0.45  # for assemblies and deliveries: the rest is done after the next start


class Daemon:
    """The node: its main process and all that belongs to it.

    Args:
        configuration: the node's.
        reload: reads the configuration again, for SIGHUP; raises ConfigError if it is wrong.
    """

    def __init__(self, configuration: Configuration, reload: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self._reload = reload
        self._run = uuid.uuid4().hex
        self._stopping = threading.Event()
        self._hangup = threading.Event()
        self._systemd = sdnotify.SystemdNotifier()
        self._watchdog = Watchdog(partial(self._systemd.notify, "WATCHDOG=1"))
        self._cleanup = ExitStack()
        self._receivers: ReceiverSupervisor | None = None
        self._results: Pipeline | None = None
        self._page_port: int | None = None
        self._web: WebServer | None = None

    @property
    def _settings(self) -> Settings:
        return self._configuration.settings

    @property
    def port(self) -> int:
        """The DICOM port, once started."""
        return self._receivers.port if self._receivers else self._settings.dicom.port

    def start(self) -> None:
        """Build and start everything; the DICOM port opens last.

        Raises:
            ConfigError: the settings name something that cannot be used; nothing is left running.
        """
        check_version()
        install_hooks()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._handle_signals()
        with ExitStack() as undo:
            self._build(undo)
            self._cleanup = undo.pop_all()
        self._announce()
        self._systemd.notify("READY=1")
        log.info("the node is listening on %s:%d, AE title %s", *self._where())

    def _handle_signals(self) -> None:
        """Set the handlers before the port opens: signals may come from then on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._hangup.set())

    def _build(self, undo: ExitStack) -> None:
        settings = self._settings
        page = bound_for_page(settings.http)
        if page is not None:
            undo.callback(page.close)
        retention = settings.storage.retention
        ingester = IngestSupervisor(
            settings.storage.root,
            settings.database_url(),
            settings.log.format,
            self._ingested,
            None if retention is None else retention.model_dump(mode="json"),
        )
        # For a start that fails; once it is started it is stopped before the index is closed.
        undo.callback(ingester.stop, settings.shutdown_seconds * _INGEST_SHARE)
        receivers = ReceiverSupervisor(
            settings,
            run=self._run,
            wakeup=ingester.wakeup,
            seconds=settings.shutdown_seconds * _RECEIVE_SHARE,
        )
        undo.callback(receivers.stop)
        viewer = None if page is None else self._viewer(undo)
        archive = Archive(settings.storage.root)
        archive.prepare()
        index = Index(settings.database_url())
        undo.callback(index.close)
        refuse_foreign(index, settings.storage.root)
        index_completeness.check(index, settings.storage.root)
        index.migrate()
        claim(index, settings.storage.root)
        store = Store(index)
        self._memory = from_settings.worker_memory(settings.assembly)
        self._workers = make_workers(assemble, settings.assembly, self._memory)
        undo.callback(self._workers.close)
        self._results = results = self._make_results(archive, index)
        journal = self._recovered(archive, index, store)
        index_completeness.begin(index, settings.storage.root)
        undo.callback(journal.close)
        undo.callback(lambda: results.stop(settings.shutdown_seconds * _RESULTS_SHARE))

        ingester.start()
        undo.callback(ingester.stop, settings.shutdown_seconds * _INGEST_SHARE)
        self._receivers = receivers
        undo.callback(receivers.stop)
        receivers.start()
        results.start()
        pulls = pull_worker(
            index, journal, settings.storage, lambda: self._settings.dicom, ingester.wake
        )
        undo.callback(pulls.stop, _PULL_SECONDS)
        pulls.start()
        self._prune_quarantine(archive, undo)
        if settings.storage.verify_days is not None:
            upkeep = VerificationLoop(
                index, settings.storage.root, days=settings.storage.verify_days, clock=time.time
            )
            undo.callback(upkeep.stop, _VERIFY_SECONDS)
            upkeep.start()
        if page is not None and viewer is not None:
            viewer.start()
            parts = PageParts(
                configuration=lambda: self._configuration,
                index=index,
                archive=archive,
                journal=journal,
                viewer=viewer,
                port=lambda: self.port,
                executor=self._workers.fault,
                wake_ingester=ingester.wake,
                wake_results=results.wake,
            )
            self._start_page(undo, *make_page(page, parts))
        gc.freeze()  # collections need not look through what is loaded

    def _start_page(self, undo: ExitStack, web: WebServer, feed: ChangeFeed) -> None:
        self._page_port = web.port
        self._web = web
        undo.callback(web.stop)
        undo.callback(feed.closing.set)  # or open pages would delay the end
        web.start()

    def _viewer(self, undo: ExitStack) -> ViewerProcess:
        storage = self._settings.storage
        viewer = ViewerProcess(storage.root, storage.minimum_free, self._settings.log.format)
        undo.callback(viewer.stop, _VIEWER_SECONDS)
        return viewer

    def _prune_quarantine(self, archive: Archive, undo: ExitStack) -> None:
        """Remove old refused instances from the quarantine once an hour."""
        kept = self._settings.storage.quarantine
        quarantine = Quarantine(archive.quarantine, per_peer=kept.per_peer, days=kept.days)

        def prune() -> float:
            quarantine.prune()
            return _PRUNE_SECONDS

        loop = Loop("quarantine", prune, limit=_PRUNE_SECONDS, vital=False)
        loop.start()
        undo.callback(loop.stop, 5)

    def _recovered(self, archive: Archive, index: Index, store: Store) -> Journal:
        """The journal, after everything that an earlier run left in it has been ingested."""
        journal = Journal(self._settings.storage.root)
        recovered = recover(journal, Ingester(archive, store, time.time), archive, index, time.time)
        lost = store.end_lost_associations(self._run, time.time())
        if recovered or lost:
            log.warning(
                "the last run did not stop properly: the node ingested %d instances from the "
                "journal, and %d associations were cut off",
                recovered,
                lost,
            )
        return journal

    def _make_results(self, archive: Archive, index: Index) -> Pipeline:
        settings = self._settings
        check_template(settings.output.name)
        damage_found = DamageReporter(index, settings.storage.root, time.time).check
        outgoing = Outgoing(lambda: self._settings.dicom, archive, damage_found)
        return Pipeline(
            index,
            self._workers,
            IdleWorker(self._memory),
            minimum_free=settings.storage.minimum_free,
            archive=archive.root,
            output=(settings.storage.root / "nifti").absolute(),
            template=settings.output.name,
            output_rules=[one.rule() for one in settings.output.rules],
            options=from_settings.output_options(settings.output, settings.assembly),
            timing=from_settings.timing(settings.completion),
            learned=settings.completion.quiet_seconds == "learned",
            targets=settings.deliver,
            expect=settings.expect,
            titles=outgoing.titles,
            count=outgoing.count,
            series_of_study=outgoing.series_of_study,
            study_quiet=settings.completion.study_quiet_seconds,
            peer_names=outgoing.names,
            sender=outgoing.store,
            page=from_settings.page_url(settings.http),
            owner=self._run,
            clock=time.time,
        )

    def _ingested(self, report: Report) -> None:
        for outcome, count in report.outcomes.items():
            metrics.INSTANCES.labels(outcome).inc(count)
        for end, count in report.ends.items():
            metrics.ASSOCIATIONS.labels(end).inc(count)
        metrics.BYTES.inc(report.size)
        # Without the end of an association the watcher looks often enough by itself.
        if any(report.ends.values()) and self._results is not None:
            self._results.wake()

    def greeting(self) -> list[str]:
        """Where the node listens, and what to type next."""
        host, port, title = self._where()
        reach = from_settings.local_address(host)
        http = self._settings.http
        shown = f"[{http.host}]" if ":" in http.host else http.host
        scheme = "https" if http.tls else "http"
        page = f"The page is at {scheme}://{shown}:{http.port}/" if http.port else "No page."
        return [
            f"rasnode listens on {host}:{port}, AE title {title}.",
            f"Send it something:   dcmsend -aec {title} +sd +r {reach} {port} FOLDER",
            "See what became of it:   rasnode status",
            page,
            f"Volumes appear in {(self._settings.storage.root / 'nifti').absolute()}",
        ]

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop."""
        while not self._stopping.wait(_HEARTBEAT_SECONDS):
            try:
                self._watchdog.look()
                rotate(self._settings.storage.root)
                if self._hangup.is_set():
                    self._hangup.clear()
                    self._reread()
            except Exception as error:  # noqa: BLE001  the main loop goes on
                place = error_reference(error)
                log.error(
                    "the main loop met an unexpected error and goes on (reference %s): %s",
                    place,
                    traced(error),
                )
        self.stop()

    def stop(self) -> None:
        """Stop accepting, let open C-STOREs answer, finish or requeue assemblies."""
        self._systemd.notify("STOPPING=1")
        log.info("the node stops")
        withdraw(self._settings.storage.root)
        self._cleanup.close()

    def _reread(self) -> None:
        try:
            found = self._reload()
            settings = found.settings
            if self._results is not None:
                self._results.reread(settings.deliver, settings.expect)
            if self._web is not None:
                self._web.reread_certificate()
        except ConfigError as error:
            log.error("the changed configuration is wrong; the node keeps the old one: %s", error)
            return
        later = from_settings.changed_until_restart(self._settings, settings)
        in_effect = self._settings.model_copy(
            update={
                "dicom": settings.dicom,
                "deliver": settings.deliver,
                "expect": settings.expect,
            }
        )
        self._configuration = replace(found, settings=in_effect)
        if self._receivers is not None:
            self._receivers.allow(settings.dicom)
        log.info("the node has read peers, delivery rules and protocols again")
        self._announce()
        if later:
            log.warning("restart the node to apply these changed settings: %s", ", ".join(later))

    def _announce(self) -> None:
        """At each start and reload: log what cannot work, and write the run file for `status` and
        `doctor`."""
        identity = self._settings.dicom.identity
        if identity is not None and (outdated := outdated_users(identity.users)):
            log.warning("%s", outdated)
        targets = self._settings.deliver
        broken = faults(targets)
        for name, fault in broken.items():
            log.warning("delivery %s cannot work: %s", name, fault, extra={"delivery": name})
        names = tuple(target.name for target in targets)
        try:
            announce(
                self._settings.storage.root,
                RunState(os.getpid(), self.port, self._page_port, names, broken),
            )
        except OSError as error:
            log.warning(
                "the node cannot write its run file, so that status and doctor do not see it: %s",
                error.strerror,
            )

    def _where(self) -> tuple[str, int, str]:
        return self._settings.dicom.host, self.port, self._settings.dicom.ae_title
