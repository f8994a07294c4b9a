"""A program with arguments: no shell, an environment of its own, the payload on its input."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from node.core.errors import NodeError
from node.core.events import Delivery
from node.core.settings.deliver import CommandSettings
from node.deliver.payload import encoded
from node.deliver.process import Ran, run
from node.deliver.publish import MANIFEST
from node.deliver.redaction import redacted
from node.deliver.target import NotTaken, Trouble

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SystemRoot")
_TAIL = 600  # characters of the end of its complaints that go into the outbox


class Command:
    """A program that is run for each delivery.

    Args:
        attributes: what the index keeps of a series, by its row; what says who the patient is
            is taken out of the program's complaints.
    """

    def __init__(
        self, settings: CommandSettings, attributes: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self._settings = settings
        self._attributes = attributes

    def deliver(self, delivery: Delivery) -> None:
        """Run it; exit code 0 is success, any other is tried again."""
        values = _values(delivery.payload)
        arguments = [_filled(argument, values) for argument in self._settings.run]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {f"RASNODE_{name.upper()}": value for name, value in values.items()}
        environment["RASNODE_FILES"] = "\n".join(_absolute(delivery.payload))
        environment |= self._settings.environment
        ran = self._run(arguments, environment, encoded(delivery.payload))
        if not ran.in_time:
            seconds = self._settings.timeout_seconds
            raise NotTaken(
                f"{Trouble.TIMED_OUT}: {self._program!r} was ended after {seconds:g} s "
                "(timeout_seconds)",
                self._complaint(ran, delivery),
            )
        if ran.code:
            how = f"with {ran.code}" if ran.code > 0 else f"by signal {-ran.code}"
            raise NotTaken(f"{self._program!r} ended {how}", self._complaint(ran, delivery))

    @property
    def _program(self) -> str:
        return self._settings.run[0]

    def _run(self, arguments: list[str], environment: dict[str, str], text: bytes) -> Ran:
        try:
            return run(arguments, environment, text, self._settings.timeout_seconds)
        except OSError as error:
            raise NotTaken(f"{self._program!r} cannot be started: {error.strerror}") from error

    def _complaint(self, ran: Ran, delivery: Delivery) -> str:
        """The last words of the program, without the patient."""
        try:
            attributes = self._attributes(delivery.series_pk)
        except NodeError:  # the index is away: better no words than a name
            return ""
        whole = redacted(ran.complaint.decode(errors="replace"), attributes)
        return whole.strip()[-_TAIL:]


def _filled(argument: str, values: dict[str, str]) -> str:
    """The argument with its placeholders filled in; what is filled in is not looked at again."""
    parts = []
    for literal, name, _, _ in Formatter().parse(argument):
        parts.append(literal)
        if name is not None:
            parts.append(values[name])
    return "".join(parts)


def _absolute(payload: dict[str, Any]) -> list[str]:
    return [os.path.join(payload["root"], name) for name in payload["files"]]  # noqa: PTH118


def _values(payload: dict[str, Any]) -> dict[str, str]:
    files = _absolute(payload)
    names = ("event", "key", "series_instance_uid", "study_instance_uid", "state", "verdict")
    return {
        **{name: str(payload[name]) for name in names},
        "revision": str(payload["revision"]),
        "folder": os.path.dirname(files[0]) if files else payload["root"],  # noqa: PTH120
        "image": next((name for name in files if name.endswith((".nii.gz", ".nii"))), ""),
        "manifest": next((name for name in files if name.endswith(MANIFEST)), ""),
    }
