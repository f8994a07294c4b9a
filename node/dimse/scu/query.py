"""C-FIND as SCU, in Study Root and Patient Root (PS3.4 C.4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from pydicom.datadict import tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from node.core.errors import MalformedDataSet
from node.core.query_keys import UNIQUE_KEY, Level
from node.core.statuses import CANCEL, SUCCESS, is_pending, shown
from node.dicom import Elements, scan
from node.dimse.scu.identifier import encode_identifier
from node.dimse.upper_layer.messages import C_FIND_RQ, Message, Value, number, text
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, PeerSilent, Requestor

PLAIN: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
STUDY_ROOT: Final = str(StudyRootQueryRetrieveInformationModelFind)
PATIENT_ROOT: Final = str(PatientRootQueryRetrieveInformationModelFind)
_RELATIONAL: Final = b"\x01"  # PS3.4 Table C.5-2
_DRAINED: Final = 10_000  # responses that a peer may still send after C-CANCEL

Row = dict[str, str]
"""What a peer answers of one entity: keyword -> text, several values separated by backslashes."""


class QueryFailed(PeerSilent):
    """A peer ended a query without success.

    Attributes:
        status: of its last response; None: that had none.
        rows: what it had answered before.
    """

    def __init__(self, sentence: str, status: int | None) -> None:
        super().__init__(sentence)
        self.status = status
        self.rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer answers to a query.

    Attributes:
        rows: an entity each.
        is_cut_off: there are more, which were not wanted.
    """

    rows: tuple[Row, ...]
    is_cut_off: bool = False


class QuerySCU:
    """One association for queries. Leave it by `with`.

    Args:
        prefer_patient_root: ask in Patient Root where the peer knows both, as the patient level
            needs it.

    Attributes:
        is_patient_root: queries are asked in Patient Root.
        is_relational: the peer agreed to queries without the unique keys above (PS3.4 C.4.1.2.2).

    Raises:
        PeerSilent: the peer is away, does not want us or answers no queries.
    """

    def __init__(self, destination: Destination, *, prefer_patient_root: bool = False) -> None:
        roots = (STUDY_ROOT, PATIENT_ROOT)
        self._requestor = Requestor(
            destination,
            [Proposal(root, PLAIN) for root in roots],
            [(PATIENT_ROOT, _RELATIONAL)],
        )
        accepted = [root for root in roots if self._requestor.contexts(root)]
        if prefer_patient_root:
            accepted.reverse()
        self._root = accepted[0]
        self.is_patient_root = self._root == PATIENT_ROOT
        agreed = self._requestor.accepted.extended.get(PATIENT_ROOT, b"")
        self.is_relational = self.is_patient_root and agreed[:1] == _RELATIONAL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, QueryFailed):  # the association is as good as before
            self._requestor.release()
        else:
            self._requestor.__exit__(kind, error, trace)

    def ask(
        self,
        level: Level,
        keys: Mapping[str, str],
        returned: Sequence[str] = (),
        limit: int | None = None,
    ) -> Answer:
        """Ask one question.

        Args:
            level: of the entities that are asked for.
            keys: keyword -> what has to match (PS3.4 C.2.2.2).
            returned: further attributes, by keyword.
            limit: after so many entities the peer is told to stop (C-CANCEL).

        Raises:
            QueryFailed: the peer ended it otherwise than with success.
            PeerSilent: the association broke.
        """
        ((syntax, context),) = self._requestor.contexts(self._root).items()
        wanted = dict.fromkeys([*keys, *returned, UNIQUE_KEY[level]])
        encoded = encode_identifier(level, {key: keys.get(key, "") for key in wanted}, syntax)
        command: dict[str, Value] = {
            "AffectedSOPClassUID": self._root,
            "CommandField": C_FIND_RQ,
            "Priority": 0,
        }
        message_id = self._requestor.request(context, command, encoded)
        rows: list[Row] = []
        cancelled = 0
        try:
            for message in self._responses(message_id):
                if limit is None or len(rows) < limit:
                    rows.append(_row(message, syntax, wanted))
                    continue
                cancelled += 1
                if cancelled == 1:
                    self._requestor.cancel(context, message_id)
                elif cancelled > _DRAINED:
                    raise PeerSilent(f"{self._requestor.destination} goes on after C-CANCEL")
        except QueryFailed as error:
            if not cancelled or error.status != CANCEL:
                error.rows = tuple(rows)
                raise
        return Answer(tuple(rows), bool(cancelled))

    def _responses(self, message_id: int) -> Iterator[Message]:
        """Each pending response; whatever comes after a C-CANCEL, too."""
        there = self._requestor.destination
        while True:
            message = self._requestor.response(message_id)
            status = number(message.command, "Status")
            if is_pending(status):
                if message.data is not None:
                    yield message
                continue
            if status == SUCCESS:
                return
            comment = text(message.command, "ErrorComment")
            raise QueryFailed(
                f"{there} ends the query with {shown(status)}{f' ({comment})' if comment else ''}",
                status,
            )


def _row(message: Message, syntax: str, wanted: Mapping[str, object]) -> Row:
    try:
        elements = scan(message.data or b"", syntax).elements
    except MalformedDataSet as error:
        raise PeerSilent(f"an answer to the query cannot be read: {error}") from error
    return {keyword: _text(elements, keyword) for keyword in wanted}


def _text(elements: Elements, keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    return "\\".join(elements.texts(tag)) if tag is not None else ""
