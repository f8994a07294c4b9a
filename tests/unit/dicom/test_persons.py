"""When two data sets cannot be of one patient, and what does not say so."""

from __future__ import annotations

import pytest

from node.dicom.persons import Person, differ

SOMEBODY = Person("P1", "H", "Doe^Jane", "19700131")


@pytest.mark.parametrize(
    "same",
    [
        SOMEBODY._replace(patient_id="p1 "),
        SOMEBODY._replace(patient_id=""),
        SOMEBODY._replace(issuer=""),
        SOMEBODY._replace(name="DOE^JANE^^^"),
        SOMEBODY._replace(name="Döe^Jane = 山田"),
        SOMEBODY._replace(name="Roe^Jane"),  # a name may be corrected,
        SOMEBODY._replace(birth_date="19700113"),  # and so may a date
        SOMEBODY._replace(birth_date="1970.01.31"),
        Person(),
    ],
)
def test_what_may_be_the_same_patient(same: Person) -> None:
    assert not differ(SOMEBODY, same)
    assert not differ(same, SOMEBODY)


@pytest.mark.parametrize(
    "other",
    [
        SOMEBODY._replace(patient_id="P2"),
        SOMEBODY._replace(issuer="K"),
        SOMEBODY._replace(name="Roe^John", birth_date="19800101"),
        SOMEBODY._replace(patient_id="", name="Roe^John"),
        Person(birth_date="19800101"),
    ],
)
def test_what_is_another_patient(other: Person) -> None:
    assert differ(SOMEBODY, other)
    assert differ(other, SOMEBODY)
