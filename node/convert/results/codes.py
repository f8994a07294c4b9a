"""SNOMED CT codes of what is segmented, by its name: those of the standard's context groups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from pydicom.sr.codedict import codes


class Code(NamedTuple):
    """A coded concept (PS3.3 Table 8.8-1)."""

    value: str
    scheme: str
    meaning: str


class Coded(NamedTuple):
    """What a segment is.

    Attributes:
        category: Segmented Property Category (CID 7150).
        type: Segmented Property Type (CID 7151).
        modifier: Segmented Property Type Modifier: the side of the body (CID 244).
    """

    category: Code
    type: Code
    modifier: Code | None = None


CATEGORIES: Final = {
    "anatomy": Code("91723000", "SCT", "Anatomical Structure"),
    "abnormal": Code("49755003", "SCT", "Morphologically Abnormal Structure"),
    "tissue": Code("85756007", "SCT", "Tissue"),
    "object": Code("260787004", "SCT", "Physical object"),
    "substance": Code("91720002", "SCT", "Body Substance"),
}
"""CID 7150."""
ANYTHING: Final = Coded(CATEGORIES["tissue"], Code("85756007", "SCT", "Tissue"))
"""For a name that no table has."""
_GROUPS: Final = (
    ("cid7192", "anatomy"),
    ("cid7194", "abnormal"),
    ("cid7191", "tissue"),
    ("cid7193", "object"),
    ("cid7197", "substance"),
)
"""Context groups of types, the one that counts first where two have a name: anatomical structures,
morphologically abnormal structures, tissues, physical objects, body substances."""
_SIDES: Final = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
}
"""CID 244."""
_OTHERWISE: Final = {
    "tumor": "neoplasm",
    "tumour": "neoplasm",
    "urinary bladder": "bladder",
    "small bowel": "small intestine",
    "large bowel": "large intestine",
    "lesions": "lesion",
    "kidneys": "kidney",
    "lungs": "lung",
    "clavicula": "clavicle",
    "thyroid gland": "thyroid",
    "grey matter": "gray matter",
}
"""Usual names of what the context groups call otherwise."""


def normalised(name: str) -> str:
    """Return a name as tables have it: lower case, words with one space between them."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", spaced.lower()))


def coded(name: str, further: Mapping[str, Coded]) -> Coded:
    """Return the codes for a name; those of any tissue if it is not known.

    Args:
        name: such as `Liver`, `left kidney` or `kidney_left`.
        further: codes by normalised name, which count first.
    """
    words = normalised(name)
    for table in (further, _standard()):
        if words in table:
            return table[words]
        sides = [side for side in words.split() if side in _SIDES]
        rest = " ".join(word for word in words.split() if word not in _SIDES)
        rest = _OTHERWISE.get(rest, rest)
        if len(sides) <= 1 and rest in table:
            side = _SIDES[sides[0]] if sides else None
            return table[rest]._replace(modifier=side) if side else table[rest]
    return ANYTHING


@cache
def _standard() -> dict[str, Coded]:
    """Return the standard's context groups by normalised meaning and by keyword."""
    found: dict[str, Coded] = {}
    for group, category in _GROUPS:
        collection = getattr(codes, group)
        for keyword in collection.dir():
            code = getattr(collection, keyword)
            if code.scheme_designator != "SCT":
                continue
            entry = Coded(CATEGORIES[category], Code(code.value, "SCT", code.meaning[:64]))
            found.setdefault(normalised(code.meaning), entry)
            found.setdefault(normalised(keyword), entry)
    return found
