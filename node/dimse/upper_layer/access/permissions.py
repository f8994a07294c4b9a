"""What a peer may do (`dicom.peers[].may`), and who is taken for a peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pynetdicom.association import Association

from node.core.settings.model import Dicom, PeerSettings, Permission
from node.dimse.upper_layer.access.certificates import Certificate
from node.dimse.upper_layer.access.name_resolution import Names

NOT_AUTHORIZED = 0x0124  # PS3.7 Annex C: Refused: not authorized
_OPEN_TO_ALL: tuple[Permission, ...] = ("store", "find", "get")
"""What a stranger may ask for with `accept: any`: nothing that makes the node call somebody."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened an association.

    Attributes:
        title: its calling AE title, which anybody can claim.
        peer: the name in `dicom.peers` of the peer that it was recognized as; empty: a stranger.
    """

    title: str
    peer: str = ""


def caller_of(association: Association) -> Caller:
    """Who opened an association; a stranger where nobody has looked."""
    known = getattr(association, "caller", None)
    return known if isinstance(known, Caller) else Caller(str(association.requestor.ae_title))


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
        return next((peer for peer in self._settings().peers if peer.ae_title == title), None)

    def may(self, caller: Caller, what: Permission) -> bool:
        """Whether a caller may do something: what its `may` lists, or what anybody may.

        Who only calls himself like a peer may never do more than that peer.
        """
        settings = self._settings()
        titled = [peer for peer in settings.peers if peer.ae_title == caller.title]
        for peer in titled:
            if peer.name == caller.peer:
                return what in peer.may
        open_to_all = settings.accept == "any" and what in _OPEN_TO_ALL
        return open_to_all and all(what in peer.may for peer in titled)


def recognized(
    dicom: Dicom, names: Names, title: str, address: str, certificate: Certificate | None
) -> tuple[Caller, str]:
    """Who a caller is: the peer with its title whose certificate it shows or whose host it is at.

    Returns:
        The caller, and why it is not the peer whose title it has; empty if it is, or if no peer
        has that title.
    """
    doubt = ""
    for peer in dicom.peers:
        if peer.ae_title != title:
            continue
        doubt = _doubt(peer, names, address, certificate)
        if not doubt:
            return Caller(title, peer.name), ""
    return Caller(title), doubt


def _doubt(peer: PeerSettings, names: Names, address: str, certificate: Certificate | None) -> str:
    if peer.certificate is not None:
        if certificate is None:
            return "it shows no certificate, and dicom.peers[].certificate asks for one"
        if not certificate.is_that(peer.certificate):
            return (
                "its certificate is not that of dicom.peers[].certificate; it has the SHA-256 "
                f"fingerprint {certificate.fingerprint}"
            )
        return ""
    if names.is_at(peer.host, address):
        return ""
    if names.is_lost(peer.host):
        return (
            f"the host {peer.host} of dicom.peers cannot be found by the name service, so that "
            "nobody can be recognized by it: correct it, or give an address"
        )
    return "its address is not that of dicom.peers"
