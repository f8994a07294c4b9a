"""Looks up host names with a deadline; a failed or slow look-up stops no caller."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from node.core.supervision import background, within

log = logging.getLogger(__name__)

LOOK_UP_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 1.0  # of the listener, which accepts no other peer meanwhile
_RESOLVED_SECONDS: Final = 60.0  # a peer's host name is looked up again after so long

Found = list[tuple[Any, ...]]


class NoHostName(OSError):
    """A text that is no host name."""


def addresses(host: str, port: int | None, seconds: float = LOOK_UP_SECONDS) -> Found:
    """The addresses of a host for TCP, as `socket.getaddrinfo` gives them.

    Args:
        host: name or address.
        port: number; None: addresses without a port.
        seconds: to wait for the answer.

    Raises:
        NoHostName: `host` is no host name.
        OSError: the name is unknown, or there is no answer in time.
    """
    try:
        return within(
            seconds, lambda: list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        )
    except ValueError as error:  # UnicodeError is one
        raise NoHostName(f"{host!r} is no host name that can be looked up") from error


def connected(host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to the first address of a host that answers.

    Args:
        host: name or address.
        port: number.
        seconds: for the look-up, and again for each address; it stays the socket's time-out.

    Raises:
        OSError: the name is unknown, or no address answers.
    """
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in addresses(host, port, seconds):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def resolve(name: str) -> Iterable[str]:
    """The addresses of a host name.

    Raises:
        OSError: as `addresses`.
    """
    return {str(entry[4][0]) for entry in addresses(name, None)}


class Names:
    """Whether an address is a peer's host: an address, a network, or a name.

    Names are looked up in the background. The caller waits a second at most for a name that has not
    been found before; as long as it has not been found, its peer is not recognized.

    Args:
        resolve: returns the addresses of a name; raises OSError.
    """

    def __init__(self, resolve: Callable[[str], Iterable[str]] = resolve) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, frozenset[str]]] = {}
        self._asked: dict[str, threading.Event] = {}
        self._lost: set[str] = set()

    def is_at(self, host: str, address: str) -> bool:
        """Whether a peer is a configured host.

        Args:
            host: of `dicom.peers`: an address, a network, or a name.
            address: of the peer.
        """
        plain = address.removeprefix("::ffff:")
        try:
            return ipaddress.ip_address(plain) in ipaddress.ip_network(host, strict=False)
        except ValueError:
            return plain in self._addresses(host)

    def is_lost(self, host: str) -> bool:
        """Whether `host` is a name that has been looked up and not been found."""
        return host in self._known and not self._known[host][1]

    def _addresses(self, name: str) -> frozenset[str]:
        known = self._known.get(name)
        if known is not None and time.monotonic() - known[0] <= _RESOLVED_SECONDS:
            return known[1]
        answered = self._ask(name)
        if known is not None:
            return known[1]
        answered.wait(_WAIT_SECONDS)
        with self._lock:
            # The next caller does not wait for the same name again.
            return self._known.setdefault(name, (time.monotonic(), frozenset[str]()))[1]

    def _ask(self, name: str) -> threading.Event:
        """Start to look a name up, unless that is under way; returns what is set at the end."""
        with self._lock:
            if name in self._asked:
                return self._asked[name]
            answered = self._asked[name] = threading.Event()
        try:
            background("host name look-up", partial(self._look_up, name, answered))
        except RuntimeError:  # the system gives us no thread now
            self._answered(name, answered)
        return answered

    def _look_up(self, name: str, answered: threading.Event) -> None:
        try:
            found = frozenset(self._resolve(name))
        except (OSError, ValueError) as error:
            if name not in self._lost:
                self._lost.add(name)
                log.warning(
                    "the host %s of dicom.peers cannot be found by the name service (%s); its peer "
                    "is not recognized until it can: correct the name, or give an address",
                    name,
                    error.strerror or error if isinstance(error, OSError) else "not a host name",
                )
        else:
            if name in self._lost:
                self._lost.discard(name)
                log.info("the host %s of dicom.peers is found by the name service again", name)
            with self._lock:
                self._known[name] = (time.monotonic(), found)
        finally:
            self._answered(name, answered)

    def _answered(self, name: str, answered: threading.Event) -> None:
        with self._lock:
            before = self._known.get(name, (0.0, frozenset[str]()))[1]
            self._known[name] = (time.monotonic(), before)
            self._asked.pop(name, None)
        answered.set()
