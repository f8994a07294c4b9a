"""What the routes work with that change something; the daemon makes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException, Request

from node.core.pulls import NewPull
from node.core.settings.deliver import TargetSettings
from node.deliver.rules import Rules
from node.lifecycle.assumed_events import AssumedEvents
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.operator_actions import OperatorActions
from node.lifecycle.results.kept import ResultStore
from node.lifecycle.series_origins import PeerNames
from node.storage.importing.upload import Uploads
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.pulls import Pulls
from node.storage.index.peers.statements import Statements
from node.storage.index.series.work import Work
from node.web.roles import Identity, Role, identity_of


@dataclass(frozen=True)
class ReadAgain:
    """Settings that may change while the node runs.

    Attributes:
        peers: the names of `dicom.peers`.
        peer_names: names the peers of a sender.
        deliveries: `deliver`.
    """

    peers: Callable[[], Sequence[str]]
    peer_names: PeerNames
    deliveries: Callable[[], Sequence[TargetSettings]]


class Operations:
    """What operators do.

    Args:
        index: of the node.
        root: `storage.root`.
        uploads: takes uploaded files in.
        settings: of the node, as they are now.
        check_pull: checks a job; raises ConfigError with what is wrong.
        wake: lets the watcher look at once.
    """

    def __init__(
        self,
        index: Index,
        root: Path,
        uploads: Uploads,
        settings: ReadAgain,
        check_pull: Callable[[NewPull], None],
        wake: Callable[[], None],
    ) -> None:
        self.root = root
        self.uploads = uploads
        self.settings = settings
        self.check_pull = check_pull
        self.wake = wake
        self.work = Work(index)
        self.outbox = Outbox(index)
        self.pulls = Pulls(index)
        self.results = ResultStore(root.absolute(), self.outbox, uploads.minimum_free)
        self.assumed = AssumedEvents(index, settings.peer_names)
        self._evidence = EvidenceLoader(self.work, Statements(index))

    def actions(self, person: str) -> OperatorActions:
        """What a person can do to a series."""
        return OperatorActions(
            self.work, self.outbox, self._evidence, person=person, clock=time.time
        )

    def rules(self) -> Rules:
        """The rules of `deliver`, to be tried."""
        return Rules(list(self.settings.deliveries()), self.root / "nifti")


def operator(request: Request) -> Identity:
    """Who asks for a change.

    Raises:
        HTTPException: 403, they are no operator.
    """
    found = identity_of(request)
    if not found.role.includes(Role.OPERATOR):
        raise HTTPException(
            403, "only operators may do this; without http.auth the page and the API only read"
        )
    return found
