"""Runs a program for each delivery: no shell, a minimal environment, the payload on its stdin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any, Protocol

from node.core.errors import NodeError
from node.core.events import Delivery
from node.core.settings.deliver import CommandSettings, ResultsSettings
from node.deliver.payload import AddInstances, encoded
from node.deliver.published_files import MANIFEST
from node.deliver.targets.program import ProgramResult, run_program
from node.deliver.targets.redaction import redacted
from node.deliver.targets.target import DeliveryFailed, FailureName

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SystemRoot")
_LONGEST_OUTPUT = 600  # characters of the end of stderr that go into the outbox


class ResultImages(Protocol):
    """Takes the images that a command leaves as its results."""

    def workspace(self, delivery: Delivery) -> Path:
        """Return a new, empty folder for one attempt.

        Raises:
            DeliveryFailed: it cannot be made.
        """
        ...

    def take(self, delivery: Delivery, settings: ResultsSettings, folder: Path) -> None:
        """Make DICOM objects of the images in the folder, and put them into the outbox.

        Args:
            delivery: that the command was run for.
            settings: what becomes of the images.
            folder: what `workspace` returned.

        Raises:
            DeliveryRefused: an image cannot become an object.
            DeliveryFailed: it can be tried again.
        """
        ...

    def discard(self, folder: Path) -> None:
        """Remove the folder of an attempt."""
        ...


class Command:
    """A program that is run for each delivery.

    Args:
        settings: the entry of `deliver:`.
        attributes: returns what the index holds of a series, by the series' row; values that
            identify the patient are removed from the program's stderr.
        instances: adds the series' instances to a payload; None: nothing is added.
        result_images: takes what the program leaves, where `results` asks for that.
    """

    def __init__(
        self,
        settings: CommandSettings,
        attributes: Callable[[int], Mapping[str, Any]],
        instances: AddInstances | None = None,
        result_images: ResultImages | None = None,
    ) -> None:
        self._settings = settings
        self._attributes = attributes
        self._instances = instances
        self._result_images = result_images

    def deliver(self, delivery: Delivery) -> None:
        """Run the program; exit code 0 is success, any other is tried again.

        Raises:
            DeliveryFailed: the program cannot be started, took too long, or did not exit with 0.
            DeliveryRefused: an image that it left cannot become a DICOM object.
        """
        results = self._settings.results
        if results is None or self._result_images is None:
            self._attempt(delivery, {})
            return
        folder = self._result_images.workspace(delivery)
        try:
            self._attempt(delivery, {"RASNODE_RESULTS": str(folder)})
            self._result_images.take(delivery, results, folder)
        finally:
            self._result_images.discard(folder)

    def _attempt(self, delivery: Delivery, further: dict[str, str]) -> None:
        values = _values(delivery.payload)
        arguments = [_filled(argument, values) for argument in self._settings.run]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {f"RASNODE_{name.upper()}": value for name, value in values.items()}
        environment["RASNODE_FILES"] = "\n".join(_absolute(delivery.payload))
        environment |= self._settings.environment | further
        told = self._instances(delivery) if self._instances else delivery.payload
        result = self._run(arguments, environment, encoded(told))
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
