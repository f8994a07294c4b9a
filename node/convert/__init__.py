"""From series to files: read pixels, fill volumes, write NIfTI, sidecar, preview and manifest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.convert.folder import Series, Unreadable, read_folder
    from node.convert.products import Product, Proof
    from node.convert.series import Conversion, convert_series, volumes_of
    from node.convert.slice_cache import compress_slices
    from node.convert.sources import InstanceSource, PixelReader, check
    from node.convert.volume import Volume
    from node.convert.writing import OutputOptions

__all__ = [
    "Conversion",
    "InstanceSource",
    "OutputOptions",
    "PixelReader",
    "Product",
    "Proof",
    "Series",
    "Unreadable",
    "Volume",
    "check",
    "compress_slices",
    "convert_series",
    "read_folder",
    "volumes_of",
]

_PLACES: Final = {
    "Conversion": "node.convert.series",
    "InstanceSource": "node.convert.sources",
    "OutputOptions": "node.convert.writing",
    "PixelReader": "node.convert.sources",
    "Product": "node.convert.products",
    "Proof": "node.convert.products",
    "Series": "node.convert.folder",
    "Unreadable": "node.convert.folder",
    "Volume": "node.convert.volume",
    "check": "node.convert.sources",
    "compress_slices": "node.convert.slice_cache",
    "convert_series": "node.convert.series",
    "read_folder": "node.convert.folder",
    "volumes_of": "node.convert.series",
}


def __getattr__(name: str) -> Any:
    """Import a part when somebody wants it: a result needs neither scipy nor the conversion."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
