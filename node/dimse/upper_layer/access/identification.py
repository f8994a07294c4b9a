"""Compares passcodes with `dicom.identity`, in a thread of its own, and limits guesses.

A comparison takes some fifty milliseconds on purpose. The port must not wait for it; and a user
that has shown the right passcode from the same address before is accepted without another.
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
_WAITING: Final = 64  # passcodes that wait to be compared
_PROVEN: Final = 1024  # users at addresses that are remembered
_REST_SECONDS: Final = 60.0

_WRONG: Final = Rejection(
    *_NO_REASON_GIVEN, "its user is not in dicom.identity.users, or its passcode is wrong"
)
_BUSY: Final = Rejection(*_CONGESTION, "too many passcodes are waiting to be compared")

Decided = Callable[[Rejection | None], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A passcode that waits to be compared.

    Attributes:
        proof: a keyed hash of passcode and `wanted`.
        where: the neighbourhood of the peer's address, which failures are counted for.
        wanted: the hash in `dicom.identity.users`.
        since: when it arrived (s, monotonic).
    """

    user: str
    proof: bytes
    where: str
    wanted: str
    passcode: bytes
    since: float
    decided: Decided


class Identification:
    """Compares the user identities of peers with `dicom.identity`.

    All methods but `stop` are for the listener's thread.

    Args:
        run_later: has a function called by the listener's thread.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        run_later: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_later = run_later
        self._clock = clock
        self._by_address = Attempts(clock)
        self._by_user = Attempts(clock)
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._waiting: deque[_Asked] = deque()
        self._loop = Loop("passcodes", self._compare)

    def check(
        self, known: Identity, claimed: UserIdentity | None, address: str, decided: Decided
    ) -> None:
        """Decide whether a user may associate.

        Args:
            known: the users of the settings.
            claimed: what the peer sent; None if nothing. Only user names, with or without passcode,
                are understood.
            address: of the peer.
            decided: called with the rejection, or None to accept, at once or later, in the
                listener's thread.
        """
        if claimed is None or claimed.kind not in {1, 2}:
            refused = known.required or claimed is not None
            decided(_WRONG if refused else None)
            return
        wanted = known.users.get(claimed.name, NOBODY)
        if not wanted:
            decided(None)
            return
        asked = self._asked(claimed, wanted, address, decided)
        if self._has_proven(asked):
            decided(None)
        elif seconds := self._wait(asked):
            sentence = f"too many wrong passcodes; the next one is compared in {seconds:.0f} s"
            decided(Rejection(*_CONGESTION, sentence))
        elif len(self._waiting) >= _WAITING or self._loop.stopping:
            decided(_BUSY)
        else:
            self._begin(asked, is_user=claimed.name in known.users)

    def stop(self) -> None:
        """Compare no more; peers that wait are rejected."""
        self._loop.stop(5)
        while self._waiting:
            self._run_later(partial(self._waiting.popleft().decided, _BUSY))

    def _asked(self, claimed: UserIdentity, wanted: str, address: str, decided: Decided) -> _Asked:
        proof = hmac.new(
            self._key, f"{wanted}\0".encode() + claimed.passcode, hashlib.sha256
        ).digest()
        where, now = neighbourhood(address), self._clock()
        return _Asked(claimed.name, proof, where, wanted, claimed.passcode, now, decided)

    def _wait(self, asked: _Asked) -> float:
        """Seconds until a passcode is compared. An address that was never wrong does not wait
        because of wrong passcodes for the same user from elsewhere, which would lock it out."""
        if not self._by_address.has_failed(asked.where):
            return 0.0
        return max(self._by_address.wait(asked.where), self._by_user.wait(asked.user))

    def _begin(self, asked: _Asked, *, is_user: bool) -> None:
        # It counts as wrong until it is found right, so that many at once are no way to try more.
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
        """Compare the next passcode; returns the seconds until the next call."""
        if not self._waiting:
            return _REST_SECONDS
        asked = self._waiting.popleft()
        result = False
        try:
            if self._clock() - asked.since < ARTIM_SECONDS:
                result = matches(asked.wanted, asked.passcode)
        finally:
            self._run_later(partial(self._compared, asked, result))
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
