"""Checks from inside the node whether targets can work: folders, programs, files with secrets.

A service may be forbidden what its administrator may do in a shell: folders are read-only for it,
home folders and devices are hidden. So only the node itself can check whether a target can work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from node.core.settings.deliver import CommandSettings, TargetSettings, WebhookSettings
from node.core.supervision import within
from node.core.system.disk import output_writable

_SECONDS = 3.0  # for one target: an unavailable file server may never respond
_AT_ONCE = 16
_LEAST_SECRET = 16  # bytes, as of `secret`


def faults(targets: Sequence[TargetSettings]) -> dict[str, str]:
    """Why targets cannot work, by their names; targets without a fault are left out."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = list(pool.map(fault_of, targets))
    return {target.name: fault for target, fault in zip(targets, found, strict=True) if fault}


def fault_of(target: TargetSettings) -> str:
    """Why one target cannot work from inside this process; empty if no fault was found."""
    check: Callable[[], str | None]
    if target.folder is not None:
        path = target.folder.path
        check = lambda: output_writable(path)  # noqa: E731
        what = str(path)
    elif target.command is not None:
        command = target.command
        check = lambda: _command_fault(command)  # noqa: E731
        what = command.run[0]
    elif target.webhook is not None:
        webhook = target.webhook
        check = lambda: secret_fault(webhook)  # noqa: E731
        what = str(webhook.secret_file)
    else:
        return ""
    try:
        return within(_SECONDS, check) or ""
    except TimeoutError:
        return f"{what} does not answer within {_SECONDS:g} s; check its file server"


def secret_fault(webhook: WebhookSettings) -> str:
    """Why a webhook's `secret_file` cannot be used; empty if it can, or none is set."""
    path = webhook.secret_file
    if path is None:
        return ""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        return f"secret_file {path} cannot be read: {error.strerror}"
    if len(secret) < _LEAST_SECRET:
        return (
            f"secret_file {path} holds {len(secret)} bytes; a secret has at least {_LEAST_SECRET}"
        )
    return ""


def _command_fault(command: CommandSettings) -> str:
    program = command.run[0]
    if "{" in program:  # the program depends on the series
        return ""
    if shutil.which(program) is None:
        exists = os.path.exists(program)  # noqa: PTH110  which may be no more than a name
        return f"{program} {'is not executable for the node' if exists else 'does not exist'}"
    return ""
