"""rasnode: a DICOM destination that hands back science-ready volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.core.lazy_imports import importing

if TYPE_CHECKING:
    from node.convert.load import LoadedVolume, load_all, load_dicom
    from node.convert.loading.published import open_volume
    from node.core.errors import AssemblyError

__all__ = ["AssemblyError", "LoadedVolume", "load_all", "load_dicom", "open_volume"]

# What reads images is imported only when somebody wants it; the receiver does not.
__getattr__ = importing(
    __name__,
    {
        "AssemblyError": "node.core.errors",
        "LoadedVolume": "node.convert.load",
        "load_all": "node.convert.load",
        "load_dicom": "node.convert.load",
        "open_volume": "node.convert.loading.published",
    },
)
