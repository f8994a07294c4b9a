"""Sockets that are bound before anything is served, and a port that is about to become free."""

from __future__ import annotations

import errno
import socket

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_fixed

from node.core.errors import ConfigError
from node.core.settings.model import Http
from node.core.system.port_holders import holders

WAIT_SECONDS = 10.0
"""How long a port is waited for that children of an ended node, or somebody unseen, still have."""
_SURE_SECONDS = 1.0
"""The same, where another program is seen to listen there: it may be about to end."""
_LOOK_SECONDS = 0.05


def bound(host: str, port: int) -> socket.socket:
    """A TCP socket with an address of its own, on which nothing can be reached before `listen`.

    Raises:
        OSError: the address cannot be had; if another program listens there, after a wait.
    """
    tries = Retrying(
        retry=retry_if_exception(_is_taken),
        stop=lambda state: _is_over(state, port),
        wait=wait_fixed(_LOOK_SECONDS),
        reraise=True,
    )
    return tries(_bind, host, port)


def refusal(what: str, host: str, port: int, key: str, error: OSError) -> str:
    """Why an address cannot be listened on, in words that an administrator can act on.

    Args:
        what: is served there.
        key: of the port, in the configuration.
    """
    said = f"cannot listen on {host}:{port} ({what}): {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        there = ", ".join(map(str, holders(port))) or "another program"
        return f"{said}; {there} listens there: stop it, or set {key}"
    if error.errno == errno.EACCES:
        return f"{said}; a port below 1024 needs a right (docs/install.md, Low ports), or set {key}"
    return f"{said}; the host beside {key} has to be an address of this machine"


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
    """The page's address, taken before anything is served; None where there is no page.

    Raises:
        ConfigError: it cannot be had.
    """
    if http.port is None:
        return None
    try:
        return bound(http.host, http.port)
    except OSError as error:
        raise ConfigError(refusal("the page", http.host, http.port, "http.port", error)) from error
