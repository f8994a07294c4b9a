"""An association that a peer has opened, for a message to it later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from pynetdicom.association import Association
from pynetdicom.events import Event

from node.dimse.scp.message_observer import Notifications
from node.dimse.scp.query.operation import PeerGone, is_busy
from node.dimse.upper_layer.messages import Value, encode_message
from node.dimse.upper_layer.pynetdicom_internals import is_open, queue_pdus

_POLL_SECONDS: Final = 0.005


class OpenAssociation:
    """An association that a peer has opened, by which it is notified if it is still open then.

    Args:
        event: pynetdicom's, of a request on the association.
        notifications: sees the answers.
    """

    def __init__(self, event: Event, notifications: Notifications) -> None:
        self._association: Association = event.assoc
        self._context_id = int(event.context.context_id)
        self._notifications = notifications
        self.transfer_syntax_uid = str(event.context.transfer_syntax)

    @property
    def alive(self) -> bool:
        """Whether it is still open."""
        return is_open(self._association)

    def notify(self, command: Mapping[str, Value], data: bytes, seconds: float) -> int:
        """Send an N-EVENT-REPORT, and wait for the answer.

        Args:
            command: its command set, without the Message ID.
            data: its data set, in `transfer_syntax_uid`.
            seconds: to wait for the answer.

        Returns:
            The status of the answer.

        Raises:
            PeerGone: the association has ended or is busy, or there was no answer in time.
        """
        association = self._association
        if not self.alive:
            raise PeerGone("the association has ended")
        if is_busy(association):
            raise PeerGone("the association is busy")
        largest = int(association.requestor.maximum_length or 0)
        with self._notifications.expected(association) as (message_id, answered):
            request = {**command, "MessageID": message_id}
            queue_pdus(association, encode_message(self._context_id, request, data, largest))
            deadline = time.monotonic() + seconds
            while not answered and time.monotonic() < deadline:
                if not association.is_established:
                    break
                time.sleep(_POLL_SECONDS)
        if not answered:
            raise PeerGone("the peer did not answer an N-EVENT-REPORT")
        return answered[0]
