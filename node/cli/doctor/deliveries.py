"""What `doctor` says of `deliver:`: can what is told there be reached, from inside the node."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from node.cli.doctor.findings import Finding, Grade
from node.core.settings.deliver import TargetSettings, WebhookSettings
from node.deliver.target_checks import fault_of, secret_fault
from node.storage.run_file import RunState

_CONNECT_SECONDS = 3.0
_SANDBOX = (
    "does it exist, may the node's user use it, and does the unit let the service "
    "(docs/install.md, What deliveries need)"
)
_ASK = "fix it, then systemctl reload rasnode has the node look again"
_OUTSIDE = (
    "looked at as this user; a service may be forbidden more: start the node, and it looks itself"
)


def check_deliveries(
    targets: Sequence[TargetSettings], own: RunState | None = None
) -> Iterator[Finding]:
    """Look at every target but peers, which are asked by C-ECHO; nothing is delivered.

    Args:
        own: the node that runs with this configuration: folders and commands are for it to find,
            from inside its sandbox.
    """
    for target in targets:
        if target.webhook is not None:
            yield _finding(target, *_webhook(target.webhook))
        elif target.forward is None:
            yield _finding(target, *_local(target, own))


def _local(target: TargetSettings, own: RunState | None) -> tuple[Grade, str, str]:
    what = target.folder.path if target.folder else target.command and target.command.run[0]
    if own is not None and target.name in own.targets:
        if fault := (own.faults or {}).get(target.name):
            return Grade.WRONG, f"the running node says: {fault}", f"{_SANDBOX}; {_ASK}"
        return Grade.GOOD, f"the running node can use {what}", ""
    if fault := fault_of(target):
        return Grade.WRONG, fault, "mount or make it, or give the node's user the right to it"
    return Grade.NOTE, f"{what} can be used", _OUTSIDE


def _finding(target: TargetSettings, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding("deliver", grade, f"{target.name}: {found}", advice)


def _webhook(webhook: WebhookSettings) -> tuple[Grade, str, str]:
    if fault := secret_fault(webhook):
        return Grade.WRONG, fault, "give the node's user the right to read it, or set secret_file"
    host, port = str(webhook.url.host), webhook.url.port or 0
    try:
        socket.create_connection((host.strip("[]"), port), _CONNECT_SECONDS).close()
    except OSError as error:
        # It waits for the receiver to come back, as that is what deliveries are kept for.
        advice = "start the receiver or correct the url; what is due is kept and tried again"
        return Grade.NOTE, f"{host}:{port} does not answer: {error.strerror or error}", advice
    return Grade.GOOD, f"{host}:{port} can be reached", ""
