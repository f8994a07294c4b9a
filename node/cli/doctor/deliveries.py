"""What `doctor` checks of `deliver:`: folders, commands and webhooks, as the node can use them."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from node.cli.doctor.finding import Finding, Grade
from node.core.settings.deliver import TargetSettings, WebhookSettings
from node.deliver.target_checks import fault_of, secret_fault
from node.storage.run_file import RunState

_CONNECT_SECONDS = 3.0
_SANDBOX = (
    "check that it exists, that the node's user may use it and that the systemd unit allows it "
    "(docs/install.md, What deliveries need)"
)
_ASK = "then `systemctl reload rasnode` makes the node check again"
_OUTSIDE = (
    "checked as this user; the service may have fewer rights: start the node, and it checks itself"
)


def check_deliveries(
    targets: Sequence[TargetSettings], own: RunState | None = None
) -> Iterator[Finding]:
    """Check every target except peers, which are checked by C-ECHO; nothing is delivered.

    Args:
        targets: the entries of `deliver:`.
        own: the node that runs with this configuration, which has checked folders and commands
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
            return Grade.WRONG, f"the running node reports: {fault}", f"{_SANDBOX}; {_ASK}"
        return Grade.GOOD, f"the running node can use {what}", ""
    if fault := fault_of(target):
        return Grade.WRONG, fault, "create or mount it, or give the node's user the right to use it"
    return Grade.NOTE, f"{what} can be used", _OUTSIDE


def _finding(target: TargetSettings, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding("deliver", grade, f"{target.name}: {found}", advice)


def _webhook(webhook: WebhookSettings) -> tuple[Grade, str, str]:
    if fault := secret_fault(webhook):
        return (
            Grade.WRONG,
            fault,
            "give the node's user the right to read it, or correct secret_file",
        )
    host, port = str(webhook.url.host), webhook.url.port or 0
    try:
        socket.create_connection((host.strip("[]"), port), _CONNECT_SECONDS).close()
    except OSError as error:
        # Only a note: pending deliveries are kept until the receiver is back.
        advice = "start the receiver or correct the url; the node keeps deliveries and tries again"
        return Grade.NOTE, f"{host}:{port} does not answer: {error.strerror or error}", advice
    return Grade.GOOD, f"{host}:{port} can be reached", ""
