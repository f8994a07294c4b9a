"""From series to files: read pixels, fill volumes, write NIfTI, sidecar, preview and manifest."""

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
