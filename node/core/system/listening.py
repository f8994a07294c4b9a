"""Bind listening sockets, and wait for a port that is about to become free."""

from __future__ import annotations

import errno
import socket

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_fixed

from node.core.errors import ConfigError
from node.core.settings.http import Http
from node.core.system.port_holders import holders

WAIT_SECONDS = 10.0
"""s to wait for a port that receivers of an ended node, or an unknown program, still hold."""
_SURE_SECONDS = 1.0
"""s to wait for a port on which another known program listens, which may be about to end."""
_LOOK_SECONDS = 0.05


def bound(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket; it accepts no connection before `listen`.

    Args:
        host: address to listen on; empty for all.
        port: port; 0 takes any free one.

    Raises:
        OSError: the address cannot be bound; if another program listens there, after a wait.
    """
    tries = Retrying(
        retry=retry_if_exception(_is_taken),
        stop=lambda state: _is_over(state, port),
        wait=wait_fixed(_LOOK_SECONDS),
        reraise=True,
    )
    return tries(_bind, host, port)


def refusal(what: str, host: str, port: int, key: str, error: OSError) -> str:
    """Return a sentence about why an address cannot be bound, and what to do.

    Args:
        what: the service, such as "the page".
        host: address.
        port: port.
        key: key of the port in the configuration.
        error: the error of `bound`.
    """
    text = f"cannot listen on {host}:{port} ({what}): {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        there = ", ".join(map(str, holders(port))) or "another program"
        return f"{text}; {there} listens there: stop it, or set {key}"
    if error.errno == errno.EACCES:
        return f"{text}; a port below 1024 needs a right (docs/install.md, Low ports), or set {key}"
    return f"{text}; the host beside {key} has to be an address of this machine"


def _bind(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    return listening


def _is_taken(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EADDRINUSE


def _is_over(state: RetryCallState, port: int) -> bool:
    waited = state.seconds_since_start or 0.0
    if waited < _SURE_SECONDS:
        return False
    if waited >= WAIT_SECONDS:
        return True
    there = holders(port)
    return bool(there) and not all(holder.receiver for holder in there)


def bound_for_page(http: Http) -> socket.socket | None:
    """Return the bound socket of the page; None if there is no page.

    Raises:
        ConfigError: the address cannot be bound.
    """
    if http.port is None:
        return None
    try:
        return bound(http.host, http.port)
    except OSError as error:
        raise ConfigError(refusal("the page", http.host, http.port, "http.port", error)) from error
