"""A program with arguments: no shell, an environment of its own, the payload on its input."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any, Protocol

from node.core.errors import NodeError
from node.core.events import Delivery
from node.core.settings.deliver import CommandSettings, ResultsSettings
from node.deliver.payload import Instances, encoded
from node.deliver.process import Ran, run
from node.deliver.publish import MANIFEST
from node.deliver.redaction import redacted
from node.deliver.target import NotTaken, Trouble

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SystemRoot")
_TAIL = 600  # characters of the end of its complaints that go into the outbox


class Answers(Protocol):
    """Takes the images that a command leaves as its answer to a series."""

    def workspace(self, delivery: Delivery) -> Path:
        """Return a new, empty folder for one attempt."""
        ...

    def take(self, delivery: Delivery, settings: ResultsSettings, folder: Path) -> None:
        """Make DICOM objects of the images in the folder, and put them into the outbox.

        Raises:
            NeverTaken: an image cannot be one. NotTaken: it can be tried again.
        """
        ...

    def discard(self, folder: Path) -> None:
        """Remove the folder of an attempt."""
        ...


class Command:
    """A program that is run for each delivery.

    Args:
        attributes: what the index keeps of a series, by its row; what says who the patient is
            is taken out of the program's complaints.
        instances: adds the series' instances to a payload.
        answers: takes what it leaves, where `results` asks for that.
    """

    def __init__(
        self,
        settings: CommandSettings,
        attributes: Callable[[int], Mapping[str, Any]],
        instances: Instances | None = None,
        answers: Answers | None = None,
    ) -> None:
        self._settings = settings
        self._attributes = attributes
        self._instances = instances
        self._answers = answers

    def deliver(self, delivery: Delivery) -> None:
        """Run it; exit code 0 is success, any other is tried again."""
        results = self._settings.results
        if results is None or self._answers is None:
            self._attempt(delivery, {})
            return
        folder = self._answers.workspace(delivery)
        try:
            self._attempt(delivery, {"RASNODE_RESULTS": str(folder)})
            self._answers.take(delivery, results, folder)
        finally:
            self._answers.discard(folder)

    def _attempt(self, delivery: Delivery, further: dict[str, str]) -> None:
        values = _values(delivery.payload)
        arguments = [_filled(argument, values) for argument in self._settings.run]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {f"RASNODE_{name.upper()}": value for name, value in values.items()}
        environment["RASNODE_FILES"] = "\n".join(_absolute(delivery.payload))
        environment |= self._settings.environment | further
        told = self._instances(delivery) if self._instances else delivery.payload
        ran = self._run(arguments, environment, encoded(told))
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
