"""What a peer may do (`dicom.peers[].may`), and where peers are."""

from __future__ import annotations

from collections.abc import Callable

from node.config import Dicom, PeerSettings, Permission

NOT_AUTHORIZED = 0x0124  # PS3.7 Annex C: Refused: not authorized
_OPEN_TO_ALL: tuple[Permission, ...] = ("store", "find", "get")
"""What a stranger may ask for with `accept: any`: nothing that makes the node call somebody."""


class Peers:
    """The configured peers as the settings have them at the moment.

    Args:
        settings: returns the current settings, which SIGHUP may change.
    """

    def __init__(self, settings: Callable[[], Dicom]) -> None:
        self._settings = settings

    def by_title(self, ae_title: str) -> PeerSettings | None:
        """The peer with an AE title, None if there is none."""
        title = ae_title.strip()
        for peer in self._settings().peers:
            if peer.ae_title == title:
                return peer
        return None

    def may(self, ae_title: str, what: Permission) -> bool:
        """Whether a caller may do something: what its `may` lists, or what anybody may."""
        peer = self.by_title(ae_title)
        if peer is not None:
            return what in peer.may
        return self._settings().accept == "any" and what in _OPEN_TO_ALL
