"""Decides which peers may associate, by title and address, and how many at once (PS3.8 9.3.4)."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from node.core.settings.model import Dicom, Identity
from node.dimse.upper_layer.access.certificates import Certificate
from node.dimse.upper_layer.access.name_resolution import Names
from node.dimse.upper_layer.access.permissions import Caller, recognized
from node.dimse.upper_layer.associate_request import AssociateRequest, Rejection
from node.dimse.upper_layer.limits import EVICT_SECONDS, of_one_address

CALLING_NOT_RECOGNIZED: Final = (1, 1, 3)
CALLED_NOT_RECOGNIZED: Final = (1, 1, 7)
LOCAL_LIMIT_EXCEEDED: Final = (2, 3, 2)


class AdmittedAssociation(Protocol):
    """An association that counts towards the limits."""

    @property
    def idle_seconds(self) -> float:
        """How long it has been open without any request; 0 if there was one."""

    def leave(self) -> None:
        """End as soon as no request is under way."""


AssociationT = TypeVar("AssociationT", bound=AdmittedAssociation)


class Admission(Generic[AssociationT]):
    """Decides on each A-ASSOCIATE-RQ, and counts the associations that are open.

    Args:
        settings: returns the current settings; SIGHUP may change them.
        names: looks up the host names of peers.
        elsewhere: returns the number of associations of other processes that share the port.
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
        self._admitted: dict[AssociationT, str] = {}
        self._lock = threading.Lock()

    def refusal(
        self, request: AssociateRequest, address: str, certificate: Certificate | None = None
    ) -> Rejection | None:
        """Why a peer may not associate, whatever its user; None if it may.

        Args:
            request: its A-ASSOCIATE-RQ.
            address: of the peer.
            certificate: that it has shown; None without TLS or certificate.
        """
        settings = self._settings()
        if settings.check_called_ae and request.called_ae not in settings.called_titles:
            return Rejection(
                *CALLED_NOT_RECOGNIZED,
                "it called an AE title that is neither dicom.ae_title nor in dicom.ae_titles",
            )
        if _is_own_echo(request, address, settings):
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
        """Who a caller is, see `recognized`.

        Args:
            request: its A-ASSOCIATE-RQ.
            address: of the peer.
            certificate: that it has shown; None without TLS or certificate.
        """
        return recognized(self._settings(), self._names, request.calling_ae, address, certificate)

    def identity(self, request: AssociateRequest, address: str) -> Identity | None:
        """The users that may associate; None if the peer need not name a user.

        Args:
            request: its A-ASSOCIATE-RQ.
            address: of the peer.
        """
        settings = self._settings()
        return None if _is_own_echo(request, address, settings) else settings.identity

    def crowded(self, request: AssociateRequest, address: str) -> Rejection | None:
        """Why there is no room for one more association; None if there is.

        To make room, the association that has been open without a request for longest may be ended.

        Args:
            request: the peer's A-ASSOCIATE-RQ.
            address: of the peer.
        """
        settings = self._settings()
        if _is_own_echo(request, address, settings):
            return None
        if self._has_room(address, settings.max_associations):
            return None
        return Rejection(
            *LOCAL_LIMIT_EXCEEDED,
            f"no more than {settings.max_associations} associations may be open "
            "(dicom.max_associations)",
        )

    def enter(self, association: AssociationT, address: str) -> None:
        """Count an association.

        Args:
            association: that begins.
            address: of its peer.
        """
        with self._lock:
            self._admitted[association] = address

    def leave(self, association: AssociationT) -> None:
        """Count an association no longer."""
        with self._lock:
            self._admitted.pop(association, None)

    def admitted(self) -> list[AssociationT]:
        """The associations that count."""
        with self._lock:
            return list(self._admitted)

    def _has_room(self, address: str, most: int) -> bool:
        with self._lock:
            admitted = dict(self._admitted)
        same_address = [one for one, where in admitted.items() if where == address]
        if len(same_address) >= of_one_address(most) and not self._evict(same_address):
            return False
        return len(admitted) + self._elsewhere() < most or self._evict(list(admitted))

    def _evict(self, candidates: list[AssociationT]) -> bool:
        """End the association that has been open without a request for longest."""
        oldest = max(candidates, key=lambda one: one.idle_seconds, default=None)
        if oldest is None or oldest.idle_seconds < EVICT_SECONDS:
            return False
        oldest.leave()
        self.leave(oldest)
        return True


def _is_own_echo(request: AssociateRequest, address: str, settings: Dicom) -> bool:
    """Whether it is the node's own C-ECHO, by which it checks its port: from this machine, under
    the node's AE title, for Verification alone. It is always accepted; it gives no access."""
    plain = address.removeprefix("::ffff:")
    here = plain == settings.host or ipaddress.ip_address(plain).is_loopback
    return here and request.verifies and request.calling_ae == settings.ae_title
