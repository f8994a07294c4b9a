"""Builds the web server of the page and the API from the parts of the node."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.core.settings.file import Configuration
from node.core.settings.model import Settings
from node.core.settings.peer_names import names_of_peers
from node.dimse.pull.ordering import check_order
from node.dimse.scu.requests import echo, own_port
from node.storage.access.accounts import Accounts
from node.storage.archive import Archive
from node.storage.importing.upload import Uploads
from node.storage.index.engine import Index
from node.storage.journal import Journal
from node.web.viewer.client import ViewerProcess

if TYPE_CHECKING:
    from node.web.change_feed import ChangeFeed
    from node.web.http.server import WebServer
    from node.web.operations import Operations


@dataclass(frozen=True)
class PageParts:
    """What the page works with.

    Attributes:
        configuration: as it is now; SIGHUP may change it.
        index, archive, journal: of the node.
        viewer: reads slices of volumes.
        port: the DICOM port that the node listens on.
        executor: why no volume can be made at present; None: volumes can be made.
        wake_ingester: has the ingester look at the journal at once.
        wake_results: has the watcher look at the series at once.
    """

    configuration: Callable[[], Configuration]
    index: Index
    archive: Archive
    journal: Journal
    viewer: ViewerProcess
    port: Callable[[], int]
    executor: Callable[[], str | None]
    wake_ingester: Callable[[], None]
    wake_results: Callable[[], None]

    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.configuration().settings


def make_page(listening: socket.socket, parts: PageParts) -> tuple[WebServer, ChangeFeed]:
    """Build the web server, not yet started, and the feed of changes that ends with it.

    Args:
        listening: the socket of the page.
        parts: what it works with.
    """
    # Loading these takes long, and no sender waits for it.
    from node.web.administration import Administration  # noqa: PLC0415
    from node.web.app import create_app  # noqa: PLC0415
    from node.web.http.server import WebServer  # noqa: PLC0415
    from node.web.site import Site  # noqa: PLC0415

    settings = parts.settings()
    accounts = Accounts(settings.storage.root)
    site = Site(
        parts.index,
        parts.archive,
        outputs=settings.storage.root / "nifti",
        output_name="/".join(settings.output.templates),
        minimum_free=settings.storage.minimum_free,
        ae_title=settings.dicom.ae_title,
        dicom_port=parts.port,
        echo=lambda: echo(own_port(parts.settings().dicom, parts.port())),
        ingest_blocked=lambda: parts.journal.offsets.ingest_blocked,
        viewer=parts.viewer.ask,
        executor=parts.executor,
        journal=parts.journal.fault,
        operations=_operations(parts),
        administration=Administration(accounts, parts.configuration),
    )
    app = create_app(site, settings.http, accounts)
    return WebServer(app, listening, settings.http.tls), site.feed


def _operations(parts: PageParts) -> Operations:
    from node.web.operations import Operations, ReadAgain  # noqa: PLC0415

    storage = parts.settings().storage
    uploads = Uploads(storage, parts.journal, parts.index, parts.wake_ingester)
    uploads.remove_left()

    def names(title: str, address: str) -> list[str]:
        return names_of_peers(parts.settings().dicom.peers, title, address)

    return Operations(
        parts.index,
        storage.root,
        uploads,
        ReadAgain(
            peers=lambda: [peer.name for peer in parts.settings().dicom.peers],
            peer_names=names,
            deliveries=lambda: parts.settings().deliver,
        ),
        check_pull=lambda new: check_order(new, parts.settings().dicom.peers),
        wake=parts.wake_results,
    )
