"""Sends stored instances to a peer by C-STORE, in one association as long as it lasts.

More SOP classes than one association can propose are sent in further associations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from node.dimse.scu.payload import FALLBACKS, CannotSend, payload
from node.dimse.upper_layer.messages import Value, number
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import MOST_CONTEXTS, Destination, PeerSilent, Requestor
from node.storage.archive import Archive
from node.storage.index.search.search import Sendable


class StoreSCU:
    """Sends instances to one destination.

    If an association breaks, a new one is opened for the current instance. A peer that cannot be
    reached then is not tried again.

    Args:
        destination: the peer.
        kinds: SOP classes and transfer syntaxes of what will be sent.
    """

    def __init__(self, destination: Destination, kinds: Sequence[tuple[str, str]]) -> None:
        self._destination = destination
        self._groups = _groups(kinds)
        self._open: dict[int, Requestor] = {}
        self._lost: PeerSilent | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for group in list(self._open):
            self._end(group, abort=kind is not None)

    def store(self, archive: Archive, instance: Sendable, command: Mapping[str, Value]) -> int:
        """Send one instance.

        Args:
            archive: where its file is.
            instance: to be sent.
            command: the command set, without Message ID.

        Returns:
            The status of the peer's response.

        Raises:
            PeerSilent: the peer cannot be reached, or does not respond.
            CannotSend: the peer does not accept it, or it cannot be read.
        """
        group = next(
            (
                number
                for number, proposals in enumerate(self._groups)
                if instance.sop_class_uid in proposals
            ),
            None,
        )
        if group is None:
            raise CannotSend(
                "its SOP class was not proposed: it arrived after the association was opened"
            )
        try:
            return _store(self._association(group), archive, instance, command)
        except PeerSilent:
            self._end(group, abort=True)
        return _store(self._association(group), archive, instance, command)

    def _association(self, group: int) -> Requestor:
        if self._lost is not None:
            raise self._lost
        if group not in self._open:
            proposals = [one for each in self._groups[group].values() for one in each]
            try:
                self._open[group] = Requestor(self._destination, proposals)
            except PeerSilent as error:
                self._lost = error
                raise
        return self._open[group]

    def _end(self, group: int, *, abort: bool) -> None:
        requestor = self._open.pop(group, None)
        if requestor is None:
            return
        if abort:
            requestor.abort()
        else:
            requestor.release()


def _store(
    requestor: Requestor, archive: Archive, instance: Sendable, command: Mapping[str, Value]
) -> int:
    contexts = requestor.contexts(instance.sop_class_uid)
    found = payload(archive, instance, contexts)
    message = requestor.request_with(found.context_id, command, found.chunks, found.length)
    status = number(requestor.response(message).command, "Status")
    if status is None:
        raise PeerSilent(f"{requestor.destination} answers C-STORE without a status")
    return status


def _groups(kinds: Sequence[tuple[str, str]]) -> list[dict[str, list[Proposal]]]:
    """Presentation contexts by SOP class, in groups that one association can propose.

    Each stored transfer syntax has a context of its own, so that the peer can accept all of them;
    one further context has what they can be converted to.
    """
    proposals: dict[str, list[Proposal]] = {}
    for sop_class, syntax in kinds:
        own = proposals.setdefault(sop_class, [Proposal(sop_class, FALLBACKS)])
        own.insert(-1, Proposal(sop_class, (syntax,)))
    groups: list[dict[str, list[Proposal]]] = [{}]
    room = MOST_CONTEXTS
    for sop_class, own in proposals.items():
        if len(own) > room:
            groups.append({})
            room = MOST_CONTEXTS
        groups[-1][sop_class] = own[-MOST_CONTEXTS:]
        room -= len(own)
    return groups
