"""What may serve messages of an association directly from its connection, before pynetdicom."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol


class Outcome(Enum):
    """How `MessageService.run` ended, and what the calling thread has to do."""

    WAIT = auto()  # wait until more bytes arrive
    OTHER_MESSAGE = auto()  # pass the next message to the state machine
    PROTOCOL_ERROR = auto()  # abort the association (PS3.8 Evt19)
    CONNECTION_LOST = auto()  # end the association (PS3.8 Evt17)


class ReadingThread(Protocol):
    """The thread that reads an association."""

    def may_continue(self) -> bool:
        """Whether it has nothing else to do, so that the next request may be served."""

    def wait_for_request(self) -> bool:
        """Wait until bytes arrive; False if there is something else to do."""

    def wait_while_lent(self, *, served: bool) -> None:
        """Wait until `wake` is called, or a limited time.

        Args:
            served: requests were answered since the last call.
        """

    def wake(self) -> None:
        """Wake the thread. Safe for many threads."""


class MessageService(Protocol):
    """Serves messages of one kind directly; leaves the others on the connection."""

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""

    def run(self, thread: ReadingThread) -> Outcome:
        """Serve requests for as long as they follow each other. Call it when bytes have arrived.

        Args:
            thread: the calling thread.
        """
