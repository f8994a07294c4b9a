"""Retrieves as SCU: what is asked of the archive and of the peer while responses come."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

from node.core.query_keys import Level
from node.dimse.scu import retrieve
from node.dimse.scu.retrieve import MOVE, Ended, Wanted
from node.dimse.upper_layer.messages import C_MOVE_RQ, RESPONSE, Message

WANTED = Wanted(Level.STUDY, {"StudyInstanceUID": "1.2"})


class Peer:
    """A requestor whose peer has sent all its responses already."""

    def __init__(self, statuses: list[int]) -> None:
        self.destination = "PEER"
        self.accepted = SimpleNamespace(contexts={1: "1.2.840.10008.1.2"})
        self.cancels = 0
        self._messages = deque(
            Message(1, {"CommandField": C_MOVE_RQ | RESPONSE, "Status": status}, None)
            for status in statuses
        )

    def contexts(self, root: str) -> dict[str, int]:
        return {"1.2.840.10008.1.2": 1} if root == MOVE[0] else {}

    def request(self, *_: object) -> int:
        return 1

    def ready(self, _seconds: float) -> bool:
        return True

    def receive(self) -> Message:
        return self._messages.popleft()

    def cancel(self, *_: object) -> None:
        self.cancels += 1


def run(peer: Peer, looks: list[int], *, stop: bool = False) -> Ended:
    def held() -> int:
        looks.append(1)
        return 0

    conversation: Any = retrieve._Conversation(peer, MOVE, WANTED, lambda: stop, held)  # type: ignore[arg-type]
    ended = conversation.run({"CommandField": C_MOVE_RQ})
    assert isinstance(ended, Ended)
    return ended


def test_the_archive_is_not_asked_for_each_response() -> None:
    looks: list[int] = []
    assert run(Peer([0xFF00] * 1000 + [0x0000]), looks).status == 0
    assert len(looks) <= 2


def test_a_peer_is_told_once_to_stop() -> None:
    peer = Peer([0xFF00] * 10 + [0xFE00])
    ended = run(peer, [], stop=True)
    assert (ended.status, ended.cancelled, peer.cancels) == (0xFE00, True, 1)
