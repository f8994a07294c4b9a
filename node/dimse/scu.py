"""Asking other DICOM nodes: is it there (C-ECHO), take this (C-STORE)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from node.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.config import Dicom, PeerSettings
from node.dimse import transport
from node.errors import Retryable

ANSWER_SECONDS = 30.0
_SUCCESS = 0x0000


class PeerSilent(Retryable):
    """A peer cannot be reached, refuses the association, or does not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a peer is, and who we are to it.

    Attributes:
        tls: the client's context; None for plain TCP.
        seconds: how long to wait for the connection, and for each answer.
    """

    host: str
    port: int
    called_ae: str
    calling_ae: str
    tls: ssl.SSLContext | None = None
    seconds: float = ANSWER_SECONDS

    def __str__(self) -> str:
        return f"{self.called_ae} at {self.host}:{self.port}"


def echo(destination: Destination) -> None:
    """Ask a peer whether it is there (PS3.4 A.4).

    Raises:
        PeerSilent: it is not, or it does not want us.
    """
    ae = _application_entity(destination)
    ae.add_requested_context(Verification)
    association = _associate(ae, destination)
    try:
        status = association.send_c_echo().get("Status")
    finally:
        _leave(association)
    if status != _SUCCESS:
        raise PeerSilent(f"{destination} answers C-ECHO with {_said(status)}")


def send(
    destination: Destination,
    data_sets: Iterable[Dataset],
    contexts: Iterable[tuple[str, str]],
    sent: Callable[[Dataset], None] = lambda _data_set: None,
) -> None:
    """Store data sets at a peer, in one association (PS3.4 B.2).

    Args:
        contexts: SOP Class UID and Transfer Syntax UID of what is sent.
        sent: called after each data set that the peer took.

    Raises:
        PeerSilent: the peer is away or did not take one; what it took before stays there.
    """
    ae = _application_entity(destination)
    for sop_class, transfer_syntax in contexts:
        ae.add_requested_context(sop_class, transfer_syntax)
    association = _associate(ae, destination)
    try:
        for data_set in data_sets:
            status = association.send_c_store(data_set).get("Status")
            if status != _SUCCESS:
                raise PeerSilent(f"{destination} answers C-STORE with {_said(status)}")
            sent(data_set)
    except ValueError as error:  # pynetdicom's word for a context that was not accepted
        raise PeerSilent(f"{destination} does not take these images: {error}") from error
    finally:
        _leave(association)


def _application_entity(destination: Destination) -> AE:
    transport.prepare()
    ae = AE(ae_title=destination.calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = destination.seconds
    ae.acse_timeout = destination.seconds
    ae.dimse_timeout = destination.seconds
    ae.network_timeout = destination.seconds
    return ae


def _associate(ae: AE, destination: Destination) -> Association:
    tls = (destination.tls, destination.host) if destination.tls else None
    association = ae.associate(
        destination.host, destination.port, ae_title=destination.called_ae, tls_args=tls
    )
    if association.is_established:
        return association
    if association.is_rejected:
        answer = association.acceptor.primitive
        why = f": {answer.reason_str}" if answer is not None else ""
        raise PeerSilent(f"{destination} refuses {destination.calling_ae}{why}")
    if association.is_aborted and association.acceptor.primitive is not None:
        raise PeerSilent(f"{destination} accepts none of the services asked for")
    raise PeerSilent(f"{destination} cannot be reached, or does not speak DICOM there")


def _leave(association: Association) -> None:
    if association.is_established:
        association.release()


def _said(status: int | None) -> str:
    return "nothing" if status is None else f"0x{status:04X}"


def own_port(dicom: Dicom, port: int, seconds: float = 5.0) -> Destination:
    """The node's own DICOM port, asked as somebody whom it lets in.

    Args:
        port: where it listens; the settings may say 0 for any.
    """
    known = dicom.accept == "known" and dicom.peers
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(dicom.host, dicom.host)  # noqa: S104
    return Destination(
        host=host,
        port=port,
        called_ae=dicom.ae_title,
        calling_ae=dicom.peers[0].ae_title if known else dicom.ae_title,
        tls=_client_context(dicom, verify=False) if dicom.tls else None,
        seconds=seconds,
    )


def peer(dicom: Dicom, settings: PeerSettings, seconds: float = ANSWER_SECONDS) -> Destination:
    """A peer of the settings."""
    return Destination(
        host=settings.host,
        port=settings.port,
        called_ae=settings.ae_title,
        calling_ae=dicom.ae_title,
        tls=_client_context(dicom, verify=True) if settings.tls else None,
        seconds=seconds,
    )


def _client_context(dicom: Dicom, *, verify: bool) -> ssl.SSLContext:
    """What we show a TLS peer, and what we want to see of it.

    Raises:
        PeerSilent: our own certificate, key or CA cannot be read.
    """
    context = ssl.create_default_context()
    context.check_hostname = False  # DICOM peers are known by their CA (PS3.15 B.9), not by DNS
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    try:
        if dicom.tls is not None:
            context.load_cert_chain(dicom.tls.certificate, dicom.tls.key)
            if dicom.tls.ca is not None:
                context.load_verify_locations(dicom.tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise PeerSilent(f"certificate, key or CA of dicom.tls cannot be used: {error}") from error
    return context
