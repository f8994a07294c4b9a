"""Tell whether two data sets can be of one patient, by ID, name and birth date.

Absent values contradict nothing, and neither do differences in case, accents and padding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from node.core.query_keys import fold, name_groups


class Person(NamedTuple):
    """The patient that a data set states; values are unchanged, and empty if absent.

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
        """Return this person, with absent values taken from the other."""
        return Person(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


@lru_cache(maxsize=4096)
def differ(one: Person, other: Person) -> bool:
    """Tell whether two persons are certainly not the same.

    They are not if both have an ID and the IDs, or their issuers, differ. With the same ID a name
    may have been corrected, so that name and birth date must both differ; without a common ID
    either of them is enough.

    Args:
        one: a person.
        other: another person.

    Examples:
        >>> differ(Person(patient_id="1", name="DOE^J"), Person(patient_id="1", name="ROE^J"))
        False
        >>> differ(Person(patient_id="1"), Person(patient_id="2"))
        True
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
    """Return a date without the dots of early versions of the standard (PS3.5 6.2)."""
    return "".join(filter(str.isdecimal, date))
