"""The composition root: builds everything from the settings, and owns start and stop."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import sdnotify

from node.completion.policy import Timing
from node.convert import OutputOptions
from node.core import metrics
from node.core.errors import ConfigError, error_reference, traced
from node.core.output_names import check_template
from node.core.settings.model import AssemblySettings, Completion, Http, Output, Settings
from node.core.settings.passcodes import outdated_users
from node.core.supervision import Loop, Watchdog, install_hooks
from node.core.system.listening import bound_for_page
from node.core.system.machine import memory_bytes
from node.daemon.receiving.process import SWITCH_SECONDS
from node.daemon.receiving.receiver import Receiver
from node.daemon.receiving.supervisor import ReceiverSupervisor
from node.deliver.needs import faults
from node.dimse.scu.outgoing import Outgoing
from node.dimse.scu.requests import echo, own_port
from node.dimse.upper_layer.acceptor import usable
from node.lifecycle.assembly.task import assemble
from node.lifecycle.pipeline import Results
from node.lifecycle.verification.loop import Upkeep
from node.lifecycle.verification.reporting import Reporter
from node.lifecycle.workers.local import IdleWorker, make_workers
from node.storage import index_holdings
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

if TYPE_CHECKING:
    from node.web.server import WebServer

log = logging.getLogger(__name__)

_FIXED = (
    "host",
    "port",
    "ae_title",
    "processes",
    "keep_awake",
)  # of `dicom`, as long as the node runs
_HEARTBEAT_SECONDS = 2.0
_PRUNE_SECONDS = 3600.0
_WORKER_SHARE = 0.75  # of the memory, for one worker: what needs more fails by name
_RECEIVE_SHARE = 0.4  # of shutdown_seconds, for open C-STOREs
_FILING_SHARE = 0.1  # for what was answered and is not ingested yet: it keeps until the next start
_UPKEEP_SECONDS = 2.0  # for the file that is being compared: it is again at the next start
_RESULTS_SHARE = 0.45  # for assemblies and deliveries under way: they are taken up at the next


class Daemon:
    """The node as one process.

    Args:
        reload: reads the settings again, for SIGHUP; raises ConfigError if they are wrong.
    """

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self._settings = settings
        self._reload = reload
        self._run = uuid.uuid4().hex
        self._stopping = threading.Event()
        self._hangup = threading.Event()
        self._systemd = sdnotify.SystemdNotifier()
        self._watchdog = Watchdog(partial(self._systemd.notify, "WATCHDOG=1"))
        self._cleanup = ExitStack()
        self._receiver: Receiver | ReceiverSupervisor | None = None
        self._made: Results | None = None
        self._page_port: int | None = None

    @property
    def port(self) -> int:
        """The DICOM port, once started."""
        return self._receiver.port if self._receiver else self._settings.dicom.port

    def start(self) -> None:
        """Build and start everything; the DICOM port opens last.

        Raises:
            ConfigError: something that the settings name cannot be had; nothing is left running.
        """
        install_hooks()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._heed_signals()
        with ExitStack() as undo:
            self._build(undo)
            self._cleanup = undo.pop_all()
        self._tell_others()
        self._systemd.notify("READY=1")
        log.info("listening on %s:%d as %s", *self._where())

    def _heed_signals(self) -> None:
        """From before the port opens: whoever sees it open may send one."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._hangup.set())

    def _build(self, undo: ExitStack) -> None:
        settings = self._settings
        page = bound_for_page(settings.http)
        if page is not None:
            undo.callback(page.close)
        retention = settings.storage.retention
        filing = IngestSupervisor(
            settings.storage.root,
            settings.database_url(),
            settings.log.format,
            self._ingested,
            None if retention is None else retention.model_dump(mode="json"),
        )
        # Should it never come to start; from then on it has to stop before the index is closed.
        undo.callback(filing.stop, settings.shutdown_seconds * _FILING_SHARE)
        receivers = self._receivers(filing, undo)
        archive = Archive(settings.storage.root)
        archive.prepare()
        index = Index(settings.database_url())
        undo.callback(index.close)
        refuse_foreign(index, settings.storage.root)
        index_holdings.check(index, settings.storage.root)
        index.migrate()
        claim(index, settings.storage.root)
        store = Store(index)
        self._memory = _worker_memory(settings.assembly)
        self._workers = make_workers(assemble, settings.assembly, self._memory)
        undo.callback(self._workers.close)
        self._made = results = self._results(archive, index)
        journal = self._recovered(archive, index, store)
        index_holdings.begin(index, settings.storage.root)
        undo.callback(journal.close)
        undo.callback(lambda: results.stop(settings.shutdown_seconds * _RESULTS_SHARE))

        filing.start()
        undo.callback(filing.stop, settings.shutdown_seconds * _FILING_SHARE)
        if receivers is None:
            self._receiver = Receiver(
                settings, archive, index, journal, run=self._run, partition=0, ring=filing.ring
            )
            undo.callback(self._receiver.stop, settings.shutdown_seconds * _RECEIVE_SHARE)
        else:
            self._receiver = receivers
            undo.callback(receivers.stop)
        self._receiver.start()
        results.start()
        self._prune_quarantine(archive, undo)
        if settings.storage.verify_days is not None:
            upkeep = Upkeep(
                index, settings.storage.root, days=settings.storage.verify_days, clock=time.time
            )
            undo.callback(upkeep.stop, _UPKEEP_SECONDS)
            upkeep.start()
        if page is not None:
            web = self._page(page, index, archive, journal)
            self._page_port = web.port
            undo.callback(web.stop)
            web.start()
        gc.freeze()  # what is loaded stays: not looked through again while a series waits

    def _prune_quarantine(self, archive: Archive, undo: ExitStack) -> None:
        """Once an hour, what was refused long ago goes."""
        kept = self._settings.storage.quarantine
        quarantine = Quarantine(archive.quarantine, per_peer=kept.per_peer, days=kept.days)

        def prune() -> float:
            quarantine.prune()
            return _PRUNE_SECONDS

        loop = Loop("quarantine", prune, limit=_PRUNE_SECONDS, vital=False)
        loop.start()
        undo.callback(loop.stop, 5)

    def _receivers(self, filing: IngestSupervisor, undo: ExitStack) -> ReceiverSupervisor | None:
        """The receivers, which load while the rest is built; None if pynetdicom has to serve its
        own way, which takes a port of its own."""
        if not usable():
            return None
        receivers = ReceiverSupervisor(
            self._settings,
            run=self._run,
            bell=filing.bell,
            seconds=self._settings.shutdown_seconds * _RECEIVE_SHARE,
        )
        undo.callback(receivers.stop)
        return receivers

    def _recovered(self, archive: Archive, index: Index, store: Store) -> Journal:
        """The journal, after whatever an earlier run left in it has been ingested."""
        journal = Journal(self._settings.storage.root)
        back = recover(journal, Ingester(archive, store, time.time), archive, index, time.time)
        lost = store.end_lost_associations(self._run, time.time())
        if back or lost:
            log.warning(
                "the last run ended uncleanly: %d instances brought back, %d associations lost",
                back,
                lost,
            )
        return journal

    def _page(
        self, listening: socket.socket, index: Index, archive: Archive, journal: Journal
    ) -> WebServer:
        # Loading these takes as long as a quarter of all the rest: no sender waits for it.
        from node.web.app import create_app  # noqa: PLC0415
        from node.web.server import WebServer  # noqa: PLC0415
        from node.web.site import Site  # noqa: PLC0415

        settings = self._settings
        site = Site(
            index,
            archive,
            outputs=settings.storage.root / "nifti",
            output_name=settings.output.name,
            minimum_free=settings.storage.minimum_free,
            ae_title=settings.dicom.ae_title,
            dicom_port=lambda: self.port,
            echo=lambda: echo(own_port(self._settings.dicom, self.port)),
            stuck=lambda: journal.offsets.stuck,
            executor=self._workers.fault,
            journal=journal.fault,
        )
        return WebServer(create_app(site, settings.http.host, settings.http.hosts), listening)

    def _results(self, archive: Archive, index: Index) -> Results:
        settings = self._settings
        check_template(settings.output.name)
        met = Reporter(index, settings.storage.root, time.time).met
        outgoing = Outgoing(lambda: self._settings.dicom, archive, met)
        return Results(
            index,
            self._workers,
            IdleWorker(self._memory),
            minimum_free=settings.storage.minimum_free,
            archive=archive.root,
            output=(settings.storage.root / "nifti").absolute(),
            template=settings.output.name,
            options=_options(settings.output, settings.assembly),
            timing=_timing(settings.completion),
            learned=settings.completion.quiet_seconds == "learned",
            targets=settings.deliver,
            titles=outgoing.titles,
            count=outgoing.count,
            sender=outgoing.store,
            page=_page_url(settings.http),
            owner=self._run,
            clock=time.time,
        )

    def _ingested(self, report: Report) -> None:
        for outcome, count in report.outcomes.items():
            metrics.INSTANCES.labels(outcome).inc(count)
        for end, count in report.ends.items():
            metrics.ASSOCIATIONS.labels(end).inc(count)
        metrics.BYTES.inc(report.size)
        # Between instances the watcher looks often enough by itself.
        if any(report.ends.values()) and self._made is not None:
            self._made.wake()

    def greeting(self) -> list[str]:
        """Where the node listens, and what to type next."""
        host, port, title = self._where()
        reach = _reachable(host)
        http = self._settings.http
        page = f"The page is at http://{http.host}:{http.port}/" if http.port else "No page."
        return [
            f"rasnode listens on {host}:{port}, AE title {title}.",
            f"Send it something:   storescu -aec {title} +sd +r {reach} {port} FOLDER",
            "See what became of it:   rasnode status",
            page,
            f"Volumes appear in {(self._settings.storage.root / 'nifti').absolute()}",
        ]

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop."""
        while not self._stopping.wait(_HEARTBEAT_SECONDS):
            try:
                self._watchdog.look()
                if self._hangup.is_set():
                    self._hangup.clear()
                    self._reread()
            except Exception as error:  # noqa: BLE001  the main thread goes on whatever it is
                place = error_reference(error)
                log.error("the main loop goes on (reference %s): %s", place, traced(error))
        self.stop()

    def stop(self) -> None:
        """Stop accepting, let open C-STOREs answer, finish or requeue assemblies."""
        self._systemd.notify("STOPPING=1")
        log.info("stopping")
        withdraw(self._settings.storage.root)
        self._cleanup.close()

    def _reread(self) -> None:
        try:
            settings = self._reload()
            if self._made is not None:
                self._made.reread(settings.deliver)
        except ConfigError as error:
            log.error("the changed configuration is wrong and was not taken over: %s", error)
            return
        later = _at_the_next_start(self._settings, settings)
        self._settings = self._settings.model_copy(
            update={"dicom": settings.dicom, "deliver": settings.deliver}
        )
        if self._receiver is not None:
            self._receiver.allow(settings.dicom)
        log.info("peers and rules were read again")
        self._tell_others()
        if later:
            log.warning("changed, and not taken over before a restart: %s", ", ".join(later))

    def _tell_others(self) -> None:
        """What the log should have at each start and reload, and what `status` and `doctor` cannot
        find out from outside this process."""
        identity = self._settings.dicom.identity
        if identity is not None and (outdated := outdated_users(identity.users)):
            log.warning("%s", outdated)
        targets = self._settings.deliver
        wrong = faults(targets)
        for name, fault in wrong.items():
            log.warning("delivery %s cannot work: %s", name, fault)
        names = tuple(target.name for target in targets)
        try:
            announce(
                self._settings.storage.root,
                RunState(os.getpid(), self.port, self._page_port, names, wrong),
            )
        except OSError as error:
            log.warning("status and doctor cannot ask this node: %s", error.strerror)

    def _where(self) -> tuple[str, int, str]:
        return self._settings.dicom.host, self.port, self._settings.dicom.ae_title


def _at_the_next_start(old: Settings, new: Settings) -> list[str]:
    """What has changed in the configuration and cannot change in a running node."""
    parts = [
        name
        for name in Settings.model_fields
        if name not in {"dicom", "deliver"} and getattr(old, name) != getattr(new, name)
    ]
    dicom = [
        f"dicom.{name}" for name in _FIXED if getattr(old.dicom, name) != getattr(new.dicom, name)
    ]
    return dicom + parts


def _reachable(host: str) -> str:
    """Where a server that listens on `host` is found from the same machine."""
    return "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104


def _page_url(http: Http) -> str:
    """Where the page is found from the same machine; empty: there is none."""
    return f"http://{_reachable(http.host)}:{http.port}" if http.port else ""


def _timing(settings: Completion) -> Timing:
    learned = settings.quiet_seconds == "learned"
    quiet = Timing().quiet if learned else float(settings.quiet_seconds)
    return Timing(quiet, settings.open_quiet_seconds, settings.incomplete)


def _worker_memory(settings: AssemblySettings) -> int | None:
    """Bytes that each worker process may have as data."""
    if settings.worker_memory == "auto":
        return int(_WORKER_SHARE * memory_bytes())
    return settings.worker_memory


def _options(settings: Output, assembly: AssemblySettings) -> OutputOptions:
    return OutputOptions(
        compress=settings.compress,
        sidecar=settings.sidecar,
        preview=settings.preview,
        identifiers=settings.identifiers,
        resample_tilt=assembly.resample_tilt,
        resample_unequal=assembly.resample_unequal,
    )
