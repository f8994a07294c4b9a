"""DICOM data sets from anywhere, scanned fast and without trust (PS3.5).

`scan` walks the top level of a data set to its very end, so that what is truncated or lies about
its lengths is found before it is answered; `Elements` decodes single values when asked for.
"""

from node.dicom.element_encoding import Buffer, Encoding
from node.dicom.header_template import HeaderTemplate
from node.dicom.part10 import DataSetStart, find_data_set
from node.dicom.read_table import read_table
from node.dicom.scanner import DEFLATED, Scanned, encoding_of, inflate, scan
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
    "encoding_of",
    "find_data_set",
    "inflate",
    "read_table",
    "scan",
    "whole",
]
