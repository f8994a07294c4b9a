"""Runs a program for each delivery: no shell, a minimal environment, the payload on its stdin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from node.core.errors import NodeError
from node.core.events import Delivery
from node.core.settings.deliver import CommandSettings
from node.deliver.payload import encoded
from node.deliver.published_files import MANIFEST
from node.deliver.targets.program import ProgramResult, run_program
from node.deliver.targets.redaction import redacted
from node.deliver.targets.target import DeliveryFailed, FailureName

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SystemRoot")
_LONGEST_OUTPUT = 600  # characters of the end of stderr that go into the outbox


class Command:
    """A program that is run for each delivery.

    Args:
        settings: the entry of `deliver:`.
        attributes: returns what the index holds of a series, by the series' row; values that
            identify the patient are removed from the program's stderr.
    """

    def __init__(
        self, settings: CommandSettings, attributes: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self._settings = settings
        self._attributes = attributes

    def deliver(self, delivery: Delivery) -> None:
        """Run the program; exit code 0 is success, any other is tried again.

        Raises:
            DeliveryFailed: the program cannot be started, took too long, or did not exit with 0.
        """
        values = _values(delivery.payload)
        arguments = [_filled(argument, values) for argument in self._settings.run]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {f"RASNODE_{name.upper()}": value for name, value in values.items()}
        environment["RASNODE_FILES"] = "\n".join(_absolute(delivery.payload))
        environment |= self._settings.environment
        result = self._run(arguments, environment, encoded(delivery.payload))
        if not result.in_time:
            seconds = self._settings.timeout_seconds
            raise DeliveryFailed(
                f"{FailureName.TIMED_OUT}: {self._program!r} was ended after {seconds:g} s; "
                "raise timeout_seconds if it needs longer",
                self._output(result, delivery),
            )
        if result.code:
            how = (
                f"exited with {result.code}"
                if result.code > 0
                else f"died of signal {-result.code}"
            )
            raise DeliveryFailed(f"{self._program!r} {how}", self._output(result, delivery))

    @property
    def _program(self) -> str:
        return self._settings.run[0]

    def _run(self, arguments: list[str], environment: dict[str, str], text: bytes) -> ProgramResult:
        try:
            return run_program(arguments, environment, text, self._settings.timeout_seconds)
        except OSError as error:
            raise DeliveryFailed(
                f"{self._program!r} cannot be started: {error.strerror}"
            ) from error

    def _output(self, result: ProgramResult, delivery: Delivery) -> str:
        """The end of the program's stderr, without what identifies the patient."""
        try:
            attributes = self._attributes(delivery.series_pk)
        except NodeError:  # without the index no name can be removed: drop the text
            return ""
        whole = redacted(result.stderr.decode(errors="replace"), attributes)
        return whole.strip()[-_LONGEST_OUTPUT:]


def _filled(argument: str, values: dict[str, str]) -> str:
    """The argument with its placeholders filled in; braces in the values stay as they are."""
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
