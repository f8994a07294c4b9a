"""Routes to the peers that results wait for; another process may have put them into the outbox."""

from __future__ import annotations

import logging
import time
from typing import Final

from node.deliver.outbox_dispatcher import Route
from node.deliver.targets.forward import Sender
from node.deliver.targets.results import GIVE_UP_SECONDS, SECONDS, ResultTarget, peer_of
from node.deliver.targets.time_limited import TimeLimited
from node.lifecycle.results.kept import ResultStore
from node.storage.index.peers.outbox import Outbox

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
"""How late a result for a peer that nothing was sent to before may be noticed."""
CLEAN_SECONDS: Final = 60.0
_MARGIN_SECONDS: Final = 15.0
"""What it may take to abort an association."""


class ResultRoutes:
    """Makes a route for each peer that results wait for, or waited for since the start.

    Args:
        outbox: where they wait.
        store: has their files.
        sender: brings instances to a peer.
    """

    def __init__(self, outbox: Outbox, store: ResultStore, sender: Sender) -> None:
        self._outbox = outbox
        self._store = store
        self._sender = sender
        self._made: dict[str, Route] = {}
        self._cleaned = 0.0

    def wanted(self) -> dict[str, Route]:
        """Return the routes by the names of their targets."""
        for target in self._outbox.targets():
            peer = peer_of(target)
            if peer is not None and target not in self._made:
                longest = SECONDS + _MARGIN_SECONDS
                sending = ResultTarget(peer, self._store.folder, self._sender)
                bounded = TimeLimited(sending, longest)
                self._made[target] = Route(target, bounded, GIVE_UP_SECONDS, longest)
        return dict(self._made)

    def is_new(self) -> bool:
        """Whether results wait for a peer without a route."""
        return any(peer_of(one) and one not in self._made for one in self._outbox.targets())

    def clean(self) -> float:
        """Remove the files of results that were delivered, now and then.

        Returns:
            how many seconds nothing will have to be done.
        """
        if time.monotonic() - self._cleaned >= CLEAN_SECONDS:
            removed = self._store.clean()
            self._cleaned = time.monotonic()
            if removed:
                log.info("%d results were delivered, and their files removed", removed)
        return LOOK_SECONDS
