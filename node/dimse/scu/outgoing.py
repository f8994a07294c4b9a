"""What deliveries and completion need from peers: store instances, and count those of a series."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydicom.uid import UID

from node.core.errors import Permanent, Retryable
from node.core.records import StoredInstance
from node.core.settings.model import Dicom
from node.core.settings.peer_names import names_of_peers
from node.core.statuses import SUCCESS, is_out_of_resources, is_warning, shown
from node.dimse.scu.payload import CannotSend, Damaged
from node.dimse.scu.requests import count_of_series, peer, series_of_study
from node.dimse.scu.store import StoreSCU
from node.dimse.upper_layer.messages import C_STORE_RQ
from node.dimse.upper_layer.requestor import Destination, ServiceNotOffered
from node.storage.archive import Archive
from node.storage.index.search.search import Sendable

QUESTION_SECONDS = 10.0  # for each answer to a question about counts


class NotStored(Permanent):
    """A peer refuses an instance, and would refuse it again."""


class PeerFull(Retryable):
    """A peer has no room for an instance now."""


class Outgoing:
    """The node as a user of its peers' services.

    Args:
        settings: returns the current settings; SIGHUP may change peers.
        archive: where the instances are.
        damage_found: called with each instance whose file is not what was received.
    """

    def __init__(
        self,
        settings: Callable[[], Dicom],
        archive: Archive,
        damage_found: Callable[[Sendable], None],
    ) -> None:
        self._settings = settings
        self._archive = archive
        self._damage_found = damage_found

    def titles(self) -> list[str]:
        """The AE titles of peers that may be asked how many instances a series has."""
        return [known.ae_title for known in self._settings().peers if known.query_back]

    def count(self, ae_title: str, study_uid: str, series_uid: str) -> int | None:
        """How many instances a peer has of a series; None if it does not say.

        Args:
            ae_title: of the peer.
            study_uid, series_uid: of the series.

        Raises:
            PeerSilent: it cannot be reached, or does not answer queries.
        """
        dicom = self._settings()
        for known in dicom.peers:
            if known.ae_title == ae_title and known.query_back:
                there = peer(dicom, known, QUESTION_SECONDS)
                return count_of_series(there, study_uid, series_uid)
        return None

    def series_of_study(self, ae_title: str, study_uid: str) -> list[str] | None:
        """The Series Instance UIDs that a peer has of a study; None if it may not be asked.

        Args:
            ae_title: of the peer.
            study_uid: the study.

        Raises:
            PeerSilent: it cannot be reached, or does not answer queries.
        """
        dicom = self._settings()
        for known in dicom.peers:
            if known.ae_title == ae_title and known.query_back:
                return series_of_study(peer(dicom, known, QUESTION_SECONDS), study_uid)
        return None

    def names(self, ae_title: str, address: str) -> list[str]:
        """The names in `dicom.peers` of a sender.

        Args:
            ae_title: its AE title.
            address: its IP address; it tells peers apart that share the title.
        """
        return names_of_peers(self._settings().peers, ae_title, address)

    def store(self, name: str, instances: Sequence[StoredInstance], seconds: float) -> None:
        """Store instances at a peer, in the received bytes where it accepts their transfer syntax.

        Args:
            name: of the peer in `dicom.peers`.
            instances: to be stored.
            seconds: for all instances together.

        Raises:
            PeerSilent, PeerFull: the peer cannot be reached, is too slow, or has no room now.
            NotStored: it refused some instances, and the others are stored there; or it accepts
                none of their SOP classes.
        """
        there = replace(self._destination(name), deadline=time.monotonic() + seconds)
        kinds = sorted({(one.sop_class_uid, one.transfer_syntax_uid) for one in instances})
        try:
            refused = self._store(there, kinds, instances)
        except ServiceNotOffered as error:
            classes = ", ".join(sorted({UID(sop_class).name for sop_class, _ in kinds}))
            raise NotStored(f"{error}: {classes}") from error
        if refused:
            raise NotStored(
                f"{there} did not store {len(refused)} of {len(instances)} instances: {refused[0]}"
            )

    def _store(
        self,
        there: Destination,
        kinds: Sequence[tuple[str, str]],
        instances: Sequence[StoredInstance],
    ) -> list[str]:
        """Store instances; returns why some were refused."""
        refused = []
        with StoreSCU(there, kinds) as store_scu:
            for one in instances:
                there.time_left()  # decoding an instance takes time, too
                try:
                    status = store_scu.store(self._archive, _sendable(one), _request(one))
                except CannotSend as error:
                    if isinstance(error, Damaged):
                        self._damage_found(_sendable(one))
                    refused.append(f"SOP Instance {one.sop_instance_uid}: {error}")
                    continue
                if is_out_of_resources(status):
                    raise PeerFull(f"{there} has no room ({shown(status)})")
                if status != SUCCESS and not is_warning(status):
                    refused.append(f"it answered {shown(status)}")
        return refused

    def _destination(self, name: str) -> Destination:
        dicom = self._settings()
        for known in dicom.peers:
            if known.name == name:
                return peer(dicom, known)
        raise NotStored(f"there is no peer {name!r} in dicom.peers any more")


def _sendable(one: StoredInstance) -> Sendable:
    return Sendable(
        one.sop_instance_uid,
        one.sop_class_uid,
        one.transfer_syntax_uid,
        one.path,
        one.size,
        one.sha256,
        one.data_set_offset,
        one.crc32,
    )


def _request(one: StoredInstance) -> dict[str, str | int]:
    return {
        "CommandField": C_STORE_RQ,
        "AffectedSOPClassUID": one.sop_class_uid,
        "AffectedSOPInstanceUID": one.sop_instance_uid,
        "Priority": 0,
    }
