"""From series to files: read pixels, fill volumes, write NIfTI, sidecar, preview and manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.core.lazy_imports import importing

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

# Imported when somebody wants them: a result needs neither scipy nor the conversion.
__getattr__ = importing(
    __name__,
    {
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
    },
)
