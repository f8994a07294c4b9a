"""Who may associate: AE titles, addresses, and how many at once (PS3.8 9.3.4)."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from typing import Final, Protocol

from node.core.settings.model import Dicom, Identity
from node.dimse.upper_layer.access.certificates import Certificate
from node.dimse.upper_layer.access.name_resolution import Names
from node.dimse.upper_layer.access.permissions import Caller, recognized
from node.dimse.upper_layer.associate_request import AssociateRequest, Rejection
from node.dimse.upper_layer.limits import EVICT_SECONDS, of_one_address

CALLING_NOT_RECOGNIZED: Final = (1, 1, 3)
CALLED_NOT_RECOGNIZED: Final = (1, 1, 7)
LOCAL_LIMIT_EXCEEDED: Final = (2, 3, 2)


class Guest(Protocol):
    """An association that takes a place."""

    @property
    def idle_seconds(self) -> float:
        """How long it has been open without asking for anything; 0 if it has."""

    def leave(self) -> None:
        """End as soon as nothing is under way."""


class Admission:
    """Decides on each A-ASSOCIATE-RQ, and counts who is in.

    Args:
        settings: the current ones; SIGHUP may change them.
        elsewhere: associations of other processes that share the port.
    """

    def __init__(
        self,
        settings: Callable[[], Dicom],
        names: Names,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self._settings = settings
        self._names = names
        self._elsewhere = elsewhere
        self._guests: dict[Guest, str] = {}
        self._lock = threading.Lock()

    def refusal(
        self, request: AssociateRequest, address: str, certificate: Certificate | None = None
    ) -> Rejection | None:
        """Why this peer may not associate, whoever its user is; None if it may.

        Args:
            certificate: what it has shown; None without TLS or certificate.
        """
        settings = self._settings()
        if settings.check_called_ae and request.called_ae != settings.ae_title:
            return Rejection(*CALLED_NOT_RECOGNIZED, "it called another AE title than ours")
        if _is_ourselves(request, address, settings):
            return None
        titled = [peer for peer in settings.peers if peer.ae_title == request.calling_ae]
        if settings.accept == "known" and not titled:
            return Rejection(*CALLING_NOT_RECOGNIZED, "its AE title is not in dicom.peers")
        if settings.accept == "known" or any(peer.certificate for peer in titled):
            caller, doubt = self.caller(request, address, certificate)
            if not caller.peer:
                return Rejection(*CALLING_NOT_RECOGNIZED, doubt)
        return None

    def caller(
        self, request: AssociateRequest, address: str, certificate: Certificate | None
    ) -> tuple[Caller, str]:
        """Who somebody is who may associate, and why not the peer whose title it has, if not."""
        return recognized(self._settings(), self._names, request.calling_ae, address, certificate)

    def identity(self, request: AssociateRequest, address: str) -> Identity | None:
        """The users that a peer has to be one of; None if it need not say who it is."""
        settings = self._settings()
        return None if _is_ourselves(request, address, settings) else settings.identity

    def crowded(self, request: AssociateRequest, address: str) -> Rejection | None:
        """Why there is no place for a peer that may associate; None if there is one.

        One that has been open unused for longest may have to give way.
        """
        settings = self._settings()
        if _is_ourselves(request, address, settings):
            return None
        if self._has_room(address, settings.max_associations):
            return None
        return Rejection(
            *LOCAL_LIMIT_EXCEEDED,
            f"{settings.max_associations} associations are open (dicom.max_associations)",
        )

    def enter(self, guest: Guest, address: str) -> None:
        """An association takes a place."""
        with self._lock:
            self._guests[guest] = address

    def leave(self, guest: Guest) -> None:
        """An association gives its place back."""
        with self._lock:
            self._guests.pop(guest, None)

    def guests(self) -> list[Guest]:
        """Everybody who is in."""
        with self._lock:
            return list(self._guests)

    def _has_room(self, address: str, most: int) -> bool:
        with self._lock:
            guests = dict(self._guests)
        neighbours = [guest for guest, where in guests.items() if where == address]
        if len(neighbours) >= of_one_address(most) and not self._evict(neighbours):
            return False
        return len(guests) + self._elsewhere() < most or self._evict(list(guests))

    def _evict(self, candidates: list[Guest]) -> bool:
        """End the association that has been open for longest without asking for anything."""
        oldest = max(candidates, key=lambda guest: guest.idle_seconds, default=None)
        if oldest is None or oldest.idle_seconds < EVICT_SECONDS:
            return False
        oldest.leave()
        self.leave(oldest)
        return True


def _is_ourselves(request: AssociateRequest, address: str, settings: Dicom) -> bool:
    """The node's own question whether it answers: it comes from the same machine, under its own
    AE title, and proposes nothing but Verification, so that nothing can be had by it."""
    plain = address.removeprefix("::ffff:")
    here = plain == settings.host or ipaddress.ip_address(plain).is_loopback
    return here and request.verifies and request.calling_ae == settings.ae_title
