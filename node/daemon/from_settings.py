"""Values that the parts of the node need, from the settings."""

from __future__ import annotations

from typing import Final

from node.completion.decision import Timing
from node.convert import OutputOptions
from node.core.settings.http import Http
from node.core.settings.model import AssemblySettings, Completion, Output, Settings
from node.core.system.machine import memory_bytes

_FIXED: Final = ("host", "port", "ae_title", "processes")  # of `dicom`, until the next start
_WORKER_SHARE: Final = 0.75  # of the memory, for one worker: what needs more fails by name


def changed_until_restart(old: Settings, new: Settings) -> list[str]:
    """Keys that were changed and that a running node cannot apply.

    Args:
        old: the settings of the running node.
        new: the settings that were read again.
    """
    parts = [
        name
        for name in Settings.model_fields
        if name not in {"dicom", "deliver", "expect"} and getattr(old, name) != getattr(new, name)
    ]
    dicom = [
        f"dicom.{name}" for name in _FIXED if getattr(old.dicom, name) != getattr(new.dicom, name)
    ]
    return dicom + parts


def local_address(host: str) -> str:
    """The address at which programs on the same machine reach a server that listens on `host`."""
    return "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104


def page_url(http: Http) -> str:
    """The URL of the page for programs on the same machine; empty: there is none."""
    scheme = "https" if http.tls else "http"
    return f"{scheme}://{local_address(http.host)}:{http.port}" if http.port else ""


def timing(settings: Completion) -> Timing:
    """The waiting times of completion; `learned` begins with the default."""
    learned = settings.quiet_seconds == "learned"
    quiet = Timing().quiet if learned else float(settings.quiet_seconds)
    return Timing(quiet, settings.open_quiet_seconds, settings.incomplete)


def worker_memory(settings: AssemblySettings) -> int | None:
    """Bytes that each worker process may allocate; None: no limit."""
    if settings.worker_memory == "auto":
        return int(_WORKER_SHARE * memory_bytes())
    return settings.worker_memory


def output_options(settings: Output, assembly: AssemblySettings) -> OutputOptions:
    """What is written beside a volume, and how.

    Args:
        settings: `output`.
        assembly: `assembly`.
    """
    return OutputOptions(
        compress=settings.compress,
        sidecar=settings.sidecar,
        preview=settings.preview,
        quality=settings.quality,
        identifiers=settings.identifiers,
        resample_tilt=assembly.resample_tilt,
        resample_unequal=assembly.resample_unequal,
    )
