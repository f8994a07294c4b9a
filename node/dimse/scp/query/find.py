"""C-FIND SCP (PS3.4 C.4.1): each match is sent as soon as the index has found it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

from pynetdicom.events import Event

from node.core.statuses import CANCEL, PENDING, PENDING_WITH_UNSUPPORTED_KEYS, SUCCESS
from node.dicom.matching import Negotiated, read_find
from node.dimse.scp.message_observer import Cancellations
from node.dimse.scp.query.operation import Operation
from node.dimse.scp.query.query_retrieve import FIND, serve
from node.dimse.scp.query.response_identifiers import Responses
from node.dimse.upper_layer.access.permissions import Peers
from node.storage.index.search.search import Search

_MANY: Final = 16  # matches; a client that gets more may want to cancel
_CANCEL_SECONDS: Final = 0.002  # to wait for a C-CANCEL


def find_handler(
    search: Search,
    peers: Peers,
    cancellations: Cancellations,
    ae_title: str,
    empty_matches: Callable[[], bool],
) -> Callable[[Event], None]:
    """The handler of pynetdicom's EVT_C_FIND.

    Args:
        search: in the index.
        peers: says which callers may query.
        cancellations: remembers C-CANCELs.
        ae_title: of the node, as Retrieve AE Title.
        empty_matches: returns whether an entity without a value for a required key matches any
            value that is asked for.
    """

    def answer(operation: Operation) -> str:
        query = read_find(
            operation.identifier,
            operation.transfer_syntax_uid,
            FIND[operation.sop_class_uid],
            _negotiated(operation.negotiated),
            empty_matches=empty_matches(),
        )
        responses = Responses(query, operation.transfer_syntax_uid, ae_title)
        status = PENDING_WITH_UNSUPPORTED_KEYS if query.unsupported else PENDING
        prepared = operation.pending(status)
        sent = 0
        with closing(search.find(query, lambda: operation.cancelled)) as records:
            for record in records:
                if operation.cancelled or (
                    _is_milestone(sent) and operation.listen(_CANCEL_SECONDS)
                ):
                    break
                operation.stream(prepared, responses.encode(record))
                sent += 1
        cancelled = operation.listen(_CANCEL_SECONDS) if sent >= _MANY else operation.cancelled
        operation.respond(CANCEL if cancelled else SUCCESS)
        return f"{sent} matches at {query.level} level{', cancelled' if cancelled else ''}"

    def handle(event: Event) -> None:
        serve(event, cancellations, peers, "find", answer)

    return handle


def _is_milestone(sent: int) -> bool:
    """After 16, 32, 64, … matches the node waits, so that a slow client can send a C-CANCEL."""
    return sent >= _MANY and sent & (sent - 1) == 0


def _negotiated(answer: bytes) -> Negotiated:
    """What was negotiated, from the answer to the extended negotiation (PS3.4 Table C.5-2)."""
    relational, combined, _, _, _, empty, multiple = (answer + bytes(7))[:7]
    return Negotiated(bool(relational), bool(combined), bool(empty), bool(multiple))
