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
    empty = "the passcode is empty; to let a user in by name alone, leave the hash empty"
    say(make_hash(read_secret("passcode", empty)))


def read_secret(what: str, empty: str) -> str:
    """Ask for a secret twice on a terminal, else read it from the first line of stdin.

    Args:
        what: the secret is called.
        empty: sentence for an empty one.

    Raises:
        ConfigError: there is none, the two differ, or it is not UTF-8.
    """
    given = _typed(what) if sys.stdin.isatty() else _piped(what)
    if not given:
        raise ConfigError(empty)
    return given


def _typed(what: str) -> str:
    try:
        typed = getpass.getpass(f"{what.capitalize()}: ")
        if typed != getpass.getpass("Once more: "):
            raise ConfigError(f"the two {what}s differ")
    except EOFError as error:
        raise ConfigError(f"no {what} was typed") from error
    return typed


def _piped(what: str) -> str:
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the {what} is not UTF-8") from error
