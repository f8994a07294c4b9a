"""What all routes read from; the daemon makes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import HTTPException

from node.core.supervision import HEARTBEATS
from node.lifecycle.verification.damage_reporter import DamageReporter
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.pulls import Pulls
from node.storage.index.search.finding import Finder
from node.storage.index.search.latest import Latest
from node.storage.index.search.listing import Listing
from node.storage.index.series.conflicts import Conflicts
from node.storage.index.series.damages import Damages
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.work import Work
from node.storage.quarantine import Quarantine
from node.web.administration import Administration
from node.web.change_feed import ChangeFeed
from node.web.files.output_files import OutputFile, OutputFolder, names_identify
from node.web.files.published_files import PublishedFiles
from node.web.health import FRESH_SECONDS, HealthCheck
from node.web.metrics import Metrics
from node.web.operations import Operations
from node.web.viewer.client import Viewer
from node.web.viewer.label_maps import LabelMaps


class Site:
    """The index, the archive and the published files, as the page and the API read them.

    Args:
        index, archive: of the node.
        outputs: the folder that volumes are published in.
        output_name: `output.name` of the settings; decides whether paths may be shown.
        minimum_free: bytes; with less on the disk the node refuses instances.
        ae_title: of the node.
        dicom_port: called when it is needed, as the port may be any free one.
        echo: sends a C-ECHO to the node's own port; raises NodeError if that is not answered.
        ingest_blocked: whether received instances cannot be ingested at present.
        viewer: reads slices of volumes.
        executor: why no volume can be made at present; None: volumes can be made.
        journal: what is wrong with the instances that are not ingested yet; None: nothing.
        operations: what operators do; None: the page only reads.
        administration: what administrators see and change; None: nothing.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self,
        index: Index,
        archive: Archive,
        *,
        outputs: Path,
        output_name: str,
        minimum_free: int,
        ae_title: str,
        dicom_port: Callable[[], int],
        echo: Callable[[], None],
        ingest_blocked: Callable[[], bool],
        viewer: Viewer,
        executor: Callable[[], str | None] = lambda: None,
        journal: Callable[[], str | None] = lambda: None,
        operations: Operations | None = None,
        administration: Administration | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._operations = operations
        self._administration = administration
        self.finder = Finder(index)
        self.outbox = Outbox(index)
        self.pulls = Pulls(index)
        self.feed = ChangeFeed(index)
        self.archive = archive
        self.quarantine = Quarantine(archive.quarantine)
        self.conflicts = Conflicts(index)
        self.minimum_free = minimum_free
        self.ae_title = ae_title
        self.dicom_port = dicom_port
        self.latest = Latest(index)
        self.namesakes = Namesakes(index)
        self._listing = Listing(index)
        self._totals: tuple[float, dict[str, int]] | None = None
        self._lock = threading.Lock()
        self.work = Work(index)
        self.outputs = OutputFolder(outputs, show_paths=not names_identify(output_name))
        self.published = PublishedFiles(index, archive.root.parent, outputs)
        self.damages = Damages(index)
        self.damage_found = DamageReporter(index, archive.root.parent, clock).check
        self.viewer = viewer
        self.label_maps = LabelMaps(index, self.outputs, self.published.check)
        self.health = HealthCheck(
            index,
            archive,
            outputs,
            minimum_free,
            echo,
            ingest_blocked,
            HEARTBEATS.all,
            time.monotonic,
            executor,
            journal,
        )
        self.metrics = Metrics(
            self.totals,
            self.latest,
            self.damages,
            archive,
            self.quarantine.left,
            self.conflicts.left,
            HEARTBEATS.all,
            clock,
        )

    def totals(self) -> dict[str, int]:
        """Numbers of patients, studies, series and instances, read once in `FRESH_SECONDS`."""
        with self._lock:
            now = time.monotonic()
            if self._totals is None or now - self._totals[0] > FRESH_SECONDS:
                self._totals = (now, self._listing.totals())
            return self._totals[1]

    def must_operate(self) -> Operations:
        """What operators do.

        Raises:
            HTTPException: 503, this page only reads.
        """
        if self._operations is None:
            raise HTTPException(503, "this page only reads")
        return self._operations

    def must_administer(self) -> Administration:
        """What administrators see and change.

        Raises:
            HTTPException: 503, this page has no part for them.
        """
        if self._administration is None:
            raise HTTPException(503, "this page has no part for administrators")
        return self._administration

    def row(self, uid: str) -> dict[str, Any]:
        """The row of a series, as `index.latest` has it.

        Args:
            uid: Series Instance UID or address of the series.

        Raises:
            HTTPException: 404, the index has no such series.
        """
        row = self.latest.one(uid)
        if row is None:
            raise HTTPException(404, "there is no series of this UID")
        return row

    def file(
        self, uid: str, number: int, revision: int | None
    ) -> tuple[dict[str, Any], OutputFile]:
        """The row of a series, and one of its published files, which is undamaged.

        Args:
            uid: Series Instance UID or address of the series.
            number: of the file in the list of the series.
            revision: that the file has to belong to; None: the current one.

        Raises:
            HTTPException: 404, there is no such series or file; 409, there is another revision;
                503, the file is damaged or is being replaced.
        """
        row = self.row(uid)
        if revision is not None and revision != row["revision"]:
            raise HTTPException(409, f"the current revision is {row['revision']}")
        for found in self.outputs.files(row["outputs"]):
            if found.number == number:
                self.published.check(row["id"], found.path)
                return row, found
        raise HTTPException(404, "the series has no file of this number")
