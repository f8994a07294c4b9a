"""Which caller is recognized as which peer, and what it may do (`dicom.peers[].may`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pynetdicom.association import Association

from node.core.settings.model import Dicom, PeerSettings, Permission
from node.dimse.upper_layer.access.certificates import Certificate
from node.dimse.upper_layer.access.name_resolution import Names

_OPEN_TO_ALL: tuple[Permission, ...] = ("store", "find", "get")
"""What unlisted callers may do with `accept: any`; none of it makes the node associate."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened an association.

    Attributes:
        title: its calling AE title, which anyone can claim.
        peer: the name in `dicom.peers` of the peer that it was recognized as; empty: none.
    """

    title: str
    peer: str = ""


def caller_of(association: Association) -> Caller:
    """Who opened an association."""
    known = getattr(association, "caller", None)
    return known if isinstance(known, Caller) else Caller(str(association.requestor.ae_title))


def refusal(what: Permission) -> str:
    """The Error Comment for a caller that may not use a service."""
    return f"not authorized: this caller may not {what}"


class Peers:
    """The configured peers and their permissions, by the current settings.

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
        """Whether a caller may use a service.

        A recognized peer may do what its `may` lists. An unlisted caller may do what is open to
        all; if it uses a peer's AE title, never more than that peer.

        Args:
            caller: who asks.
            what: the service.
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
    """Recognize a caller: as the peer that has its AE title and its certificate or host.

    Args:
        dicom: the settings.
        names: looks up the host names of peers.
        title: the calling AE title.
        address: of the caller.
        certificate: that it has shown; None without TLS or certificate.

    Returns:
        The caller, and why it was not recognized as the peer whose title it uses; empty if it was,
        or if no peer has that title.
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
            return "it shows no certificate, which dicom.peers[].certificate asks for"
        if not certificate.is_that(peer.certificate):
            return (
                "its certificate is not that of dicom.peers[].certificate; the SHA-256 fingerprint "
                f"of its certificate is {certificate.fingerprint}"
            )
        return ""
    if names.is_at(peer.host, address):
        return ""
    if names.is_lost(peer.host):
        return (
            f"the host {peer.host} of dicom.peers cannot be found by the name service, so that the "
            "peer is not recognized: correct the name, or give an address"
        )
    return "its address is not that of dicom.peers"
