"""Requests to other DICOM nodes: C-ECHO, C-STORE and C-FIND."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification

from node.core.errors import ConfigError
from node.core.query_keys import Level
from node.core.settings.model import Dicom, PeerSettings
from node.core.statuses import SUCCESS, shown
from node.dimse.scu.query import PLAIN, QuerySCU
from node.dimse.upper_layer.access.tls import client_context
from node.dimse.upper_layer.messages import C_ECHO_RQ, C_STORE_RQ, Value, number
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import ANSWER_SECONDS, Destination, PeerSilent, Requestor

__all__ = [
    "ANSWER_SECONDS",
    "Destination",
    "PeerSilent",
    "count_of_series",
    "echo",
    "own_port",
    "peer",
    "send",
    "series_of_study",
]

_COUNT: Final = re.compile(r"[0-9]{1,9}")
_VERIFICATION: Final = str(Verification)
_NUMBER_OF_INSTANCES: Final = "NumberOfSeriesRelatedInstances"


def echo(destination: Destination) -> None:
    """Send a C-ECHO (PS3.4 A.4).

    Raises:
        PeerSilent: the peer cannot be reached, or rejects us.
    """
    with Requestor(destination, [Proposal(_VERIFICATION, PLAIN)]) as requestor:
        (context,) = requestor.contexts(_VERIFICATION).values()
        command: dict[str, Value] = {
            "AffectedSOPClassUID": _VERIFICATION,
            "CommandField": C_ECHO_RQ,
        }
        status = _status(requestor, requestor.request(context, command))
    if status != SUCCESS:
        raise PeerSilent(f"{destination} answers C-ECHO with {shown(status)}")


def send(
    destination: Destination,
    data_sets: Iterable[Dataset],
    contexts: Iterable[tuple[str, str]],
    sent: Callable[[Dataset], None] = lambda _data_set: None,
) -> None:
    """Store data sets at a peer, in one association (PS3.4 B.2).

    Args:
        destination: the peer.
        data_sets: with file meta information.
        contexts: SOP Class UID and Transfer Syntax UID of what is sent.
        sent: called after each data set that the peer stored.

    Raises:
        PeerSilent: the peer cannot be reached or refused one; those before it are stored there.
    """
    proposals = [Proposal(sop_class, (syntax,)) for sop_class, syntax in contexts]
    with Requestor(destination, proposals) as requestor:
        for data_set in data_sets:
            status = _store(requestor, data_set)
            if status != SUCCESS:
                raise PeerSilent(f"{destination} answers C-STORE with {shown(status)}")
            sent(data_set)


def count_of_series(
    destination: Destination, study_instance_uid: str, series_instance_uid: str
) -> int | None:
    """How many instances a peer says that a series has; None if it does not say (PS3.4 C.3.4).

    It is asked at series level, and where the peer keeps no counts by a list of the instances.

    Args:
        destination: the peer.
        study_instance_uid, series_instance_uid: of the series.

    Raises:
        PeerSilent: the peer cannot be reached, or refuses the query.
    """
    keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid}
    with QuerySCU(destination) as query:
        series = query.ask(Level.SERIES, keys, (_NUMBER_OF_INSTANCES,)).rows
        if not series:
            return None
        count = series[0][_NUMBER_OF_INSTANCES]
        if _COUNT.fullmatch(count):
            return int(count)
        return len(query.ask(Level.IMAGE, keys).rows) or None


def series_of_study(destination: Destination, study_instance_uid: str) -> list[str]:
    """The Series Instance UIDs that a peer has of a study (PS3.4 C.3.4).

    Args:
        destination: the peer.
        study_instance_uid: of the study.

    Raises:
        PeerSilent: the peer cannot be reached, or refuses the query.
    """
    keys = {"StudyInstanceUID": study_instance_uid}
    with QuerySCU(destination) as query:
        rows = query.ask(Level.SERIES, keys).rows
    return [row["SeriesInstanceUID"] for row in rows if row["SeriesInstanceUID"]]


def _store(requestor: Requestor, data_set: Dataset) -> int | None:
    sop_class = str(data_set.SOPClassUID)
    contexts = requestor.contexts(sop_class)
    syntax = str(data_set.file_meta.TransferSyntaxUID)
    if syntax not in contexts:
        name = UID(sop_class).name
        raise PeerSilent(f"{requestor.destination} does not accept {name} in {UID(syntax).name}")
    command: dict[str, Value] = {
        "AffectedSOPClassUID": sop_class,
        "AffectedSOPInstanceUID": str(data_set.SOPInstanceUID),
        "CommandField": C_STORE_RQ,
        "Priority": 0,
    }
    encoded = _encoded(data_set, implicit=UID(syntax).is_implicit_VR)
    return _status(requestor, requestor.request(contexts[syntax], command, encoded))


def _encoded(data_set: Dataset, *, implicit: bool) -> bytes:
    encoded = encode(data_set, implicit, True)
    if encoded is None:
        raise ValueError("the data set cannot be encoded")
    return bytes(encoded)


def _status(requestor: Requestor, message_id: int) -> int | None:
    return number(requestor.response(message_id).command, "Status")


def own_port(dicom: Dicom, port: int, seconds: float = 5.0) -> Destination:
    """The node's own DICOM port, as the destination of its own C-ECHO.

    Args:
        dicom: the node's settings.
        port: where it listens; the settings may say 0 for any.
        seconds: to wait for the connection, and for each PDU.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(dicom.host, dicom.host)  # noqa: S104
    tls = None
    if dicom.tls is not None:
        tls = _tls(dicom, check_name=False)
        tls.verify_mode = ssl.CERT_NONE  # it only has to answer
    return Destination(
        host=host,
        port=port,
        called_ae=dicom.ae_title,
        calling_ae=dicom.ae_title,
        tls=tls,
        seconds=seconds,
    )


def peer(dicom: Dicom, settings: PeerSettings, seconds: float = ANSWER_SECONDS) -> Destination:
    """A peer of `dicom.peers` as a destination.

    Args:
        dicom: the node's settings.
        settings: of the peer.
        seconds: to wait for the connection, and for each PDU.

    Raises:
        PeerSilent: our own certificate, key or CA cannot be used.
    """
    return Destination(
        host=settings.host,
        port=settings.port,
        called_ae=settings.ae_title,
        calling_ae=dicom.ae_title,
        tls=_tls(dicom, check_name=not settings.certificate) if settings.tls else None,
        certificate=settings.certificate or "",
        seconds=seconds,
    )


def _tls(dicom: Dicom, *, check_name: bool) -> ssl.SSLContext:
    try:
        return client_context(dicom.tls, check_name=check_name)
    except ConfigError as error:
        raise PeerSilent(str(error)) from error
