"""A program with arguments: no shell, an environment of its own, the payload on its input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from string import Formatter
from typing import Any

from node.deliver.publish import MANIFEST
from node.deliver.target import NotTaken
from node.deliver_settings import CommandSettings
from node.deliveries import Delivery

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SystemRoot")
_TAIL = 300  # characters of what it complained that are kept


class Command:
    """A program that is run for each delivery."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    def deliver(self, delivery: Delivery) -> None:
        """Run it; exit code 0 is success, any other is tried again."""
        values = _values(delivery.payload)
        arguments = [_filled(argument, values) for argument in self._settings.run]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {f"RASNODE_{name.upper()}": value for name, value in values.items()}
        environment["RASNODE_FILES"] = "\n".join(_absolute(delivery.payload))
        environment |= self._settings.environment
        text = json.dumps(delivery.payload, ensure_ascii=False)
        try:
            code, complaint = self._run(arguments, environment, text.encode())
        except OSError as error:
            raise NotTaken(f"{arguments[0]!r} cannot be started: {error.strerror}") from error
        if code:
            raise NotTaken(f"{arguments[0]!r} ended with {code}{complaint}")

    def _run(
        self, arguments: list[str], environment: dict[str, str], text: bytes
    ) -> tuple[int, str]:
        with subprocess.Popen(
            arguments,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                _, errors = process.communicate(text, timeout=self._settings.timeout_seconds)
            except subprocess.TimeoutExpired as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                seconds = self._settings.timeout_seconds
                raise NotTaken(f"{arguments[0]!r} was ended after {seconds:g} s") from error
        said = errors.decode(errors="replace").strip()[-_TAIL:]
        return process.returncode, f": {said}" if said else ""


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
