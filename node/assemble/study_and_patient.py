"""Whose images they are: one series has one study and one patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.assemble.frames.model import InstanceHeader
from node.core.errors import AssemblyError, Reason
from node.dicom.persons import Person, differ


@dataclass
class Part:
    """Images of one study and patient.

    Attributes:
        places: where they are among the headers, in order.
    """

    study_uid: str
    person: Person
    places: list[int] = field(default_factory=list)

    def is_strange_to(self, study_uid: str, person: Person) -> bool:
        """Whether something cannot be of this study or patient."""
        other = bool(self.study_uid and study_uid) and self.study_uid != study_uid
        return other or differ(self.person, person)


def person_of(header: InstanceHeader) -> Person:
    """Who a header says that the patient is."""
    said = (str(header.facts.get(name, "")) for name in _PERSON)
    patient_id, name, birth_date = said
    return Person(patient_id=patient_id, name=name, birth_date=birth_date)


_PERSON = ("PatientID", "PatientName", "PatientBirthDate")


def parted(headers: Sequence[InstanceHeader]) -> list[Part]:
    """Sort images by study and patient.

    What does not say whose it is belongs to the first that it can belong to.

    Args:
        headers: in any order; the parts are the same.
    """
    said: dict[tuple[str, Person], list[int]] = {}
    for place, header in enumerate(headers):
        said.setdefault((header.study_instance_uid, person_of(header)), []).append(place)
    parts: list[Part] = []
    for study_uid, person in sorted(said, key=_most_telling):
        part = next((one for one in parts if not one.is_strange_to(study_uid, person)), None)
        if part is None:
            parts.append(part := Part(study_uid, person))
        part.study_uid = part.study_uid or study_uid
        part.person = part.person.with_more(person)
        part.places += said[study_uid, person]
    for part in parts:
        part.places.sort()
    return parts


def _most_telling(said: tuple[str, Person]) -> tuple[int, str, Person]:
    study_uid, person = said
    return [study_uid, *person].count(""), study_uid, person


def contradiction(headers: Sequence[InstanceHeader]) -> AssemblyError | None:
    """Say why images are no volume, as they are not all of one study and patient.

    The sentence names an image of each part, and nobody.
    """
    parts = parted(headers)
    if len(parts) < 2:
        return None
    studies = len({part.study_uid for part in parts}) > 1
    first = parts[0]
    people = any(differ(first.person, part.person) for part in parts[1:])
    under = " and ".join(["study"] * studies + ["patient"] * people)
    witnesses = [headers[part.places[0]].sop_instance_uid for part in parts]
    each = "; ".join(
        f"{len(part.places)} as {uid}" for part, uid in zip(parts, witnesses, strict=True)
    )
    return AssemblyError(
        Reason.CONTRADICTORY_IDENTITY,
        f"The images of one Series Instance UID say more than one {under}: {each}. Nothing says "
        "which of them belong together; correct the sender, and send each part with a Series "
        "Instance UID of its own.",
        tuple(witnesses),
    )
