"""Identifiers as a client would encode them."""

from __future__ import annotations

from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from node.dicom.matching import Model, Negotiated, Query, read_find

IMPLICIT = str(ImplicitVRLittleEndian)
EXPLICIT = str(ExplicitVRLittleEndian)


def identifier(level: str | None, charset: Any = None, **keys: Any) -> Dataset:
    """A data set with a level and keys; sequences as data sets."""
    with disable_value_validation():  # wildcards and ranges are no values
        return _identifier(level, charset, keys)


def _identifier(level: str | None, charset: Any, keys: dict[str, Any]) -> Dataset:
    made = Dataset()
    if charset is not None:
        made.SpecificCharacterSet = charset
    if level is not None:
        made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, [value] if isinstance(value, Dataset) else value)
    return made


def encoded(made: Dataset, syntax: str = IMPLICIT) -> bytes:
    """The bytes of an identifier."""
    with disable_value_validation():
        found = encode(made, syntax == IMPLICIT, True)
    assert found is not None
    return found


def query(
    level: str,
    model: Model = Model.STUDY,
    negotiated: Negotiated = Negotiated(),  # noqa: B008
    charset: Any = None,
    **keys: Any,
) -> Query:
    """What a C-FIND with these keys asks for."""
    return read_find(encoded(identifier(level, charset, **keys)), IMPLICIT, model, negotiated)
