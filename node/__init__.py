"""rasnode: a DICOM destination that hands back science-ready volumes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from node.convert.load import LoadedVolume, load_all, load_dicom

__all__ = ["LoadedVolume", "load_all", "load_dicom"]


def __getattr__(name: str) -> Any:
    """Import what reads images only when somebody wants it; the receiver does not."""
    if name in __all__:
        return getattr(import_module("node.convert.load"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
