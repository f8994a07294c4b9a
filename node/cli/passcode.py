"""`passcode`: the hash of a passcode, for `dicom.identity.users`."""

from __future__ import annotations

import getpass
import sys

from node.cli.output.terminal import say
from node.core.errors import ConfigError
from node.core.settings.passcodes import make_hash


def passcode() -> None:
    """Ask for a passcode, or read it from stdin, and print its hash for dicom.identity.users."""
    say(make_hash(_typed() if sys.stdin.isatty() else _piped()))


def _typed() -> str:
    try:
        said = getpass.getpass("Passcode: ")
        if said != getpass.getpass("Once more: "):
            raise ConfigError("the two passcodes differ")
    except EOFError as error:
        raise ConfigError("no passcode was given") from error
    return _given(said)


def _piped() -> str:
    try:
        return _given(sys.stdin.readline().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise ConfigError("the passcode is not UTF-8") from error


def _given(said: str) -> str:
    if not said:
        raise ConfigError("an empty passcode is none; an empty hash lets a user in by name alone")
    return said
