"""DICOM data sets from anywhere, scanned fast and without trust (PS3.5).

`scan` walks the top level of a data set to its very end, so that what is truncated or lies about
its lengths is found before it is answered; `Elements` decodes single values when asked for.
"""

from node.elements.codec import Buffer, Encoding
from node.elements.likeness import Alike
from node.elements.part10 import DataSetStart, find_data_set
from node.elements.reading import whole
from node.elements.scanner import DEFLATED, Scanned, encoding_of, inflate, scan
from node.elements.sharing import Part, once, read_parts, read_table
from node.elements.values import NO_TAG, Elements

__all__ = [
    "DEFLATED",
    "NO_TAG",
    "Alike",
    "Buffer",
    "DataSetStart",
    "Elements",
    "Encoding",
    "Part",
    "Scanned",
    "encoding_of",
    "find_data_set",
    "inflate",
    "once",
    "read_parts",
    "read_table",
    "scan",
    "whole",
]
