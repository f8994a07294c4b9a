"""What `doctor` says of `deliver:`: can what is told there be reached from this machine."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence

from node.cli.findings import Finding, Grade
from node.deliver_settings import CommandSettings, FolderSettings, TargetSettings, WebhookSettings

_CONNECT_SECONDS = 3.0


def check_deliveries(targets: Sequence[TargetSettings]) -> Iterator[Finding]:
    """Look at every target but peers, which are asked by C-ECHO; nothing is delivered."""
    for target in targets:
        if target.webhook is not None:
            yield _finding(target, *_webhook(target.webhook))
        elif target.command is not None:
            yield _finding(target, *_command(target.command))
        elif target.folder is not None:
            yield _finding(target, *_folder(target.folder))


def _finding(target: TargetSettings, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding("deliver", grade, f"{target.name}: {found}", advice)


def _webhook(webhook: WebhookSettings) -> tuple[Grade, str, str]:
    if webhook.secret_file is not None and not os.access(webhook.secret_file, os.R_OK):
        advice = "give the node's user the right to read it, or set secret_file"
        return Grade.WRONG, f"{webhook.secret_file} cannot be read", advice
    host, port = str(webhook.url.host), webhook.url.port or 0
    try:
        socket.create_connection((host.strip("[]"), port), _CONNECT_SECONDS).close()
    except OSError as error:
        # It waits for the receiver to come back, as that is what deliveries are kept for.
        advice = "start the receiver or correct the url; what is due is kept and tried again"
        return Grade.NOTE, f"{host}:{port} does not answer: {error.strerror or error}", advice
    return Grade.GOOD, f"{host}:{port} can be reached", ""


def _command(command: CommandSettings) -> tuple[Grade, str, str]:
    program = command.run[0]
    if "{" in program or shutil.which(program):
        return Grade.GOOD, f"{program} can be run", ""
    advice = "give its whole path, and the node's user the right to run it"
    return Grade.WRONG, f"{program} is no program here", advice


def _folder(folder: FolderSettings) -> tuple[Grade, str, str]:
    if not folder.path.is_dir():
        advice = "mount or make it; what is due is kept and tried again"
        return Grade.WRONG, f"{folder.path} is no folder", advice
    if not os.access(folder.path, os.W_OK | os.X_OK):
        advice = "give the node's user the right to write into it"
        return Grade.WRONG, f"{folder.path} cannot be written", advice
    return Grade.GOOD, f"{folder.path} can be written", ""
