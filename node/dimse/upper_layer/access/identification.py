"""Who the user of a peer is: passcodes are compared beside the port, and not as often as one likes.

To compare one takes some fifty milliseconds on purpose. So one thread of its own does it, for a few
at once, and whoever has shown the right passcode before from the same address does not wait for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from node.core.sender_addresses import neighbourhood
from node.core.settings.model import Identity
from node.core.settings.passcodes import NOBODY, is_slow, matches
from node.core.supervision import Loop
from node.dimse.upper_layer.access.attempts import Attempts
from node.dimse.upper_layer.associate_request import Rejection, UserIdentity
from node.dimse.upper_layer.limits import ARTIM_SECONDS

_NO_REASON_GIVEN: Final = (1, 1, 1)
_CONGESTION: Final = (2, 3, 1)
_WAITING: Final = 64  # passcodes that nobody has looked at yet
_PROVEN: Final = 1024  # users at addresses
_REST_SECONDS: Final = 60.0

_WRONG: Final = Rejection(
    *_NO_REASON_GIVEN, "it names no user of dicom.identity.users, or a wrong passcode"
)
_BUSY: Final = Rejection(*_CONGESTION, "too many passcodes wait to be compared")

Decided = Callable[[Rejection | None], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A passcode that waits to be compared."""

    user: str
    proof: bytes
    where: str
    wanted: str
    passcode: bytes
    since: float
    decided: Decided


class Identification:
    """Compares what peers say with `dicom.identity`. All but `stop` is for the port's thread.

    Args:
        later: has something done by the port's thread.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        later: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._later = later
        self._clock = clock
        self._by_address = Attempts(clock)
        self._by_user = Attempts(clock)
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._waiting: deque[_Asked] = deque()
        self._loop = Loop("passcodes", self._compare)

    def check(
        self, known: Identity, said: UserIdentity | None, address: str, decided: Decided
    ) -> None:
        """Decide whether a user may come in.

        Args:
            said: what the peer says of its user; others than by name and passcode are not
                understood.
            decided: told why not, or None, at once or later, in the port's thread.
        """
        if said is None or said.kind not in {1, 2}:
            refused = known.required or said is not None
            decided(_WRONG if refused else None)
            return
        wanted = known.users.get(said.name, NOBODY)
        if not wanted:
            decided(None)
            return
        asked = self._asked(said, wanted, address, decided)
        if self._has_proven(asked):
            decided(None)
        elif seconds := self._wait(asked):
            sentence = f"too many wrong passcodes; the next one is looked at in {seconds:.0f} s"
            decided(Rejection(*_CONGESTION, sentence))
        elif len(self._waiting) >= _WAITING or self._loop.stopping:
            decided(_BUSY)
        else:
            self._begin(asked, is_user=said.name in known.users)

    def stop(self) -> None:
        """Compare no more; who waits is turned away."""
        self._loop.stop(5)
        while self._waiting:
            self._later(partial(self._waiting.popleft().decided, _BUSY))

    def _asked(self, said: UserIdentity, wanted: str, address: str, decided: Decided) -> _Asked:
        proof = hmac.new(self._key, f"{wanted}\0".encode() + said.passcode, hashlib.sha256).digest()
        where, now = neighbourhood(address), self._clock()
        return _Asked(said.name, proof, where, wanted, said.passcode, now, decided)

    def _wait(self, asked: _Asked) -> float:
        """Seconds until a passcode is looked at. Who was never wrong does not wait for those who
        guess at its user: or anybody could keep it out."""
        if not self._by_address.has_failed(asked.where):
            return 0.0
        return max(self._by_address.wait(asked.where), self._by_user.wait(asked.user))

    def _begin(self, asked: _Asked, *, is_user: bool) -> None:
        # Wrong until it is known to be right: many at once are no more tries than one by one.
        self._by_address.failed(asked.where)
        if is_user:
            self._by_user.failed(asked.user)
        if not is_slow(asked.wanted):
            self._compared(asked, matches(asked.wanted, asked.passcode))
            return
        self._waiting.append(asked)
        if not self._loop.alive:
            self._loop.start()
        self._loop.wake()

    def _compare(self) -> float:
        """The step of the thread."""
        if not self._waiting:
            return _REST_SECONDS
        asked = self._waiting.popleft()
        result = False
        try:
            if self._clock() - asked.since < ARTIM_SECONDS:
                result = matches(asked.wanted, asked.passcode)
        finally:
            self._later(partial(self._compared, asked, result))
        return 0.0

    def _compared(self, asked: _Asked, is_right: bool) -> None:
        if not is_right:
            asked.decided(_WRONG)
            return
        self._by_address.succeeded(asked.where)
        self._by_user.succeeded(asked.user)
        if len(self._proven) >= _PROVEN:
            self._proven.popitem(last=False)
        self._proven[asked.where, asked.user] = asked.proof
        asked.decided(None)

    def _has_proven(self, asked: _Asked) -> bool:
        proof = self._proven.get((asked.where, asked.user))
        return proof is not None and hmac.compare_digest(proof, asked.proof)
