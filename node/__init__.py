"""rasnode: a DICOM destination that hands back science-ready volumes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.convert.load import LoadedVolume, load_all, load_dicom
    from node.convert.loading.published import open_volume
    from node.core.errors import AssemblyError

__all__ = ["AssemblyError", "LoadedVolume", "load_all", "load_dicom", "open_volume"]

_PLACES: Final = {
    "AssemblyError": "node.core.errors",
    "LoadedVolume": "node.convert.load",
    "load_all": "node.convert.load",
    "load_dicom": "node.convert.load",
    "open_volume": "node.convert.loading.published",
}


def __getattr__(name: str) -> Any:
    """Import what reads images only when somebody wants it; the receiver does not."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
