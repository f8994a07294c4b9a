"""Whether two data sets can be of one patient, by what they say of who it is.

Nothing that is absent speaks against anything, and neither do capitals, accents and padding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from node.core.query_keys import fold, name_groups


class Person(NamedTuple):
    """Who a data set says that the patient is, as it says it; empty where it does not.

    Attributes:
        patient_id: PatientID (0010,0020).
        issuer: Issuer of Patient ID (0010,0021).
        name: Patient's Name (0010,0010).
        birth_date: Patient's Birth Date (0010,0030).
    """

    patient_id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""

    def with_more(self, other: Person) -> Person:
        """This one, with what only the other says filled in."""
        return Person(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


@lru_cache(maxsize=4096)
def differ(one: Person, other: Person) -> bool:
    """Whether two persons are certainly not the same.

    They are not if both have an ID and the IDs, or their issuers, are others. With one ID a name
    may have been corrected or changed, so that name and birth date must both be others; without
    an ID in common either of them is enough.
    """
    if one == other:
        return False
    ids = _differ(fold(_bare(one.patient_id)), fold(_bare(other.patient_id)))
    issuers = _differ(fold(_bare(one.issuer)), fold(_bare(other.issuer)))
    names = any(map(_differ, name_groups(_bare(one.name)), name_groups(_bare(other.name))))
    births = _differ(_digits(one.birth_date), _digits(other.birth_date))
    if one.patient_id and other.patient_id:
        return ids or issuers or (names and births)
    return names or births


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def _bare(text: str) -> str:
    return text.strip(" \0")


def _digits(date: str) -> str:
    """A date without the dots that early versions of the standard had in it (PS3.5 6.2)."""
    return "".join(filter(str.isdecimal, date))
