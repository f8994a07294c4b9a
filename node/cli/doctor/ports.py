"""What `doctor` checks of the DICOM port and the port of the page."""

from __future__ import annotations

import errno
import socket
from typing import Final

import httpx

from node.cli.doctor.finding import Finding, Grade
from node.core.settings.model import Dicom
from node.core.system.port_holders import holders
from node.dimse.scu.requests import PeerSilent, echo, own_port
from node.storage.run_file import UNSEEN, RunState

_UNSEEN_SENTENCE: Final = "this user cannot see whether it runs with this configuration"
_UNSEEN_ADVICE: Final = "run doctor as the node's user: sudo -u rasnode"


def check_dicom(dicom: Dicom, own: RunState | None = None, *, running: bool) -> Finding:
    """The DICOM port: free, or the node of this configuration answers C-ECHO on it.

    Args:
        dicom: settings.
        own: the node that runs with this configuration, if one does.
        running: whether one has to.
    """
    address = f"{dicom.host}:{dicom.port}"
    error = listen(dicom.host, dicom.port) if dicom.port else None
    if error is None:
        if running:
            return Finding(
                "dicom",
                Grade.WRONG,
                f"nothing listens on {address}",
                "start the node: rasnode serve, or systemctl start rasnode",
            )
        return Finding("dicom", Grade.GOOD, f"{address} is free")
    if error.errno != errno.EADDRINUSE:
        return port_finding("dicom", address, "dicom.port", error)
    ours = own is not None and own.dicom_port == dicom.port
    holder = "this node" if ours else holder_of(dicom.port)
    try:
        echo(own_port(dicom, dicom.port))
    except PeerSilent as silence:
        sentence = f"{holder} listens on {address} and does not answer: {silence}"
    else:
        if ours:
            return Finding("dicom", Grade.GOOD, f"this node answers C-ECHO on {address}")
        if own is UNSEEN:
            sentence = f"a node answers C-ECHO on {address}; {_UNSEEN_SENTENCE}"
            return Finding("dicom", Grade.NOTE, sentence, _UNSEEN_ADVICE)
        sentence = f"another node ({holder}) answers C-ECHO on {address}"
    return Finding(
        "dicom",
        Grade.WRONG,
        sentence,
        "read the node's log for the reason, and restart the node"
        if ours
        else f"stop that program (ss -ltnp 'sport = :{dicom.port}' shows it), or change dicom.port",
    )


def check_http(host: str, port: int | None, own: RunState | None = None) -> Finding:
    """The page's port: free, or the node's own page answers on it.

    Args:
        host, port: of the configuration.
        own: the node that runs with this configuration, if one does.
    """
    if port is None:
        return Finding("http", Grade.GOOD, "no page (http.port is null)")
    error = listen(host, port)
    address = f"{host}:{port}"
    if error is None:
        return Finding("http", Grade.GOOD, f"{address} is free")
    if error.errno != errno.EADDRINUSE:
        return port_finding("http", address, "http.port", error)
    return _check_page(host, port, own)


def _check_page(host: str, port: int, own: RunState | None) -> Finding:
    address = f"{host}:{port}"
    reach = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    advice = "stop that program, or set http.port to another port or to null"
    try:
        answer = httpx.get(f"http://{reach}:{port}/health", timeout=15)
        faults = answer.json()["faults"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        sentence = f"{holder_of(port)} listens on {address} and is not a node"
        return Finding("http", Grade.WRONG, sentence, advice)
    if own is UNSEEN:
        sentence = f"the page of a node answers on {address}; {_UNSEEN_SENTENCE}"
        return Finding("http", Grade.NOTE, sentence, _UNSEEN_ADVICE)
    if own is None or own.http_port != port:
        sentence = f"the page of another node ({holder_of(port)}) answers on {address}"
        return Finding("http", Grade.WRONG, sentence, advice)
    if faults:
        sentence = "; ".join(f"{name}: {why}" for name, why in faults.items())
        return Finding(
            "http",
            Grade.WRONG,
            f"the node is not healthy: {sentence}",
            "see the other checks and the log",
        )
    return Finding("http", Grade.GOOD, f"this node's page answers on {address}, and it is healthy")


def listen(host: str, port: int) -> OSError | None:
    """Try to listen on an address for a moment.

    Args:
        host: address of this machine; empty for all.
        port: TCP port.

    Returns:
        The error, or None if the address is free.
    """
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error
    return None


def port_finding(check: str, address: str, key: str, error: OSError) -> Finding:
    """Why the node cannot listen on an address that is not in use.

    Args:
        check: name of the check.
        address: host and port.
        key: the setting that has the port.
        error: what the system answered.
    """
    if error.errno == errno.EACCES:
        return Finding(
            check,
            Grade.WRONG,
            f"this user may not listen on {address}",
            f"ports below 1024 need a right: read 'Low ports' in docs/install.md, or change {key}",
        )
    return Finding(
        check,
        Grade.WRONG,
        f"cannot listen on {address}: {error.strerror or error}",
        f"set the host next to {key} to an address of this machine, or to 0.0.0.0 for all",
    )


def holder_of(port: int) -> str:
    """Which program listens on a port, as far as this user may see it."""
    return ", ".join(map(str, holders(port))) or "another program"
