"""`passcode`: the hash of a passcode, for `dicom.identity.users`."""

from __future__ import annotations

import getpass
import sys

from node.cli.output.terminal import say
from node.core.errors import ConfigError
from node.core.settings.passcodes import make_hash


def passcode() -> None:
    """Hash a passcode for dicom.identity.users.

    Asks for the passcode on a terminal, else reads it from the first line of stdin.
    """
    say(make_hash(_typed() if sys.stdin.isatty() else _piped()))


def _typed() -> str:
    try:
        typed = getpass.getpass("Passcode: ")
        if typed != getpass.getpass("Once more: "):
            raise ConfigError("the two passcodes differ")
    except EOFError as error:
        raise ConfigError("no passcode was typed") from error
    return _not_empty(typed)


def _piped() -> str:
    try:
        return _not_empty(sys.stdin.readline().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise ConfigError("the passcode is not UTF-8") from error


def _not_empty(passcode: str) -> str:
    if not passcode:
        raise ConfigError(
            "the passcode is empty; to let a user in by name alone, leave the hash empty"
        )
    return passcode
