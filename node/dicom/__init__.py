"""DICOM data sets as untrusted bytes (PS3.5): scanning, values, files, and C-FIND matching.

`scan` walks the top level of a data set to its end, so that truncated data sets and wrong lengths
are found before a C-STORE is answered; `Elements` decodes single values on demand.
"""

from node.dicom.element_encoding import Buffer, Encoding
from node.dicom.header_template import HeaderTemplate
from node.dicom.part10 import DataSetStart, find_data_set
from node.dicom.scanner import DEFLATED, Scanned, encoding_of, inflate, scan
from node.dicom.template_cache import cached, read_parts, read_table
from node.dicom.value_decoding import whole
from node.dicom.values import NO_TAG, Elements

__all__ = [
    "DEFLATED",
    "NO_TAG",
    "Buffer",
    "DataSetStart",
    "Elements",
    "Encoding",
    "HeaderTemplate",
    "Scanned",
    "cached",
    "encoding_of",
    "find_data_set",
    "inflate",
    "read_parts",
    "read_table",
    "scan",
    "whole",
]
