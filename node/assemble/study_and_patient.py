"""Check that a series is of one study and one patient."""

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
        study_uid: Study Instance UID; empty if no image states one.
        person: the patient.
        places: indices of the images among the headers, ascending.
    """

    study_uid: str
    person: Person
    places: list[int] = field(default_factory=list)

    def excludes(self, study_uid: str, person: Person) -> bool:
        """Tell whether an image cannot be of this study or patient.

        Args:
            study_uid: Study Instance UID of the image; empty if absent.
            person: the patient of the image.
        """
        other = bool(self.study_uid and study_uid) and self.study_uid != study_uid
        return other or differ(self.person, person)


def person_of(header: InstanceHeader) -> Person:
    """Return the patient that a header states."""
    patient_id, name, birth_date = (str(header.facts.get(name, "")) for name in _PERSON)
    return Person(patient_id=patient_id, name=name, birth_date=birth_date)


_PERSON = ("PatientID", "PatientName", "PatientBirthDate")


def parted(headers: Sequence[InstanceHeader]) -> list[Part]:
    """Sort images by study and patient.

    An image that does not state them joins the first part that it can belong to.

    Args:
        headers: in any order, which does not change the parts.
    """
    stated: dict[tuple[str, Person], list[int]] = {}
    for place, header in enumerate(headers):
        stated.setdefault((header.study_instance_uid, person_of(header)), []).append(place)
    parts: list[Part] = []
    for study_uid, person in sorted(stated, key=_most_complete):
        part = next((one for one in parts if not one.excludes(study_uid, person)), None)
        if part is None:
            parts.append(part := Part(study_uid, person))
        part.study_uid = part.study_uid or study_uid
        part.person = part.person.with_more(person)
        part.places += stated[study_uid, person]
    for part in parts:
        part.places.sort()
    return parts


def _most_complete(stated: tuple[str, Person]) -> tuple[int, str, Person]:
    """Sort key: what states most comes first."""
    study_uid, person = stated
    return [study_uid, *person].count(""), study_uid, person


def contradiction(headers: Sequence[InstanceHeader]) -> AssemblyError | None:
    """Return the refusal of images that are not all of one study and patient.

    The sentence names one image of each part, and no patient's data.

    Returns:
        None if they are of one study and patient.
    """
    parts = parted(headers)
    if len(parts) < 2:
        return None
    studies = len({part.study_uid for part in parts}) > 1
    first = parts[0]
    people = any(differ(first.person, part.person) for part in parts[1:])
    what = " and ".join(["study"] * studies + ["patient"] * people)
    examples = [headers[part.places[0]].sop_instance_uid for part in parts]
    each = "; ".join(
        f"{len(part.places)} as {uid}" for part, uid in zip(parts, examples, strict=True)
    )
    return AssemblyError(
        Reason.CONTRADICTORY_IDENTITY,
        f"The images of one Series Instance UID state more than one {what}: {each}. No attribute "
        "says which of them belong together. Correct the sender, and send each part with a Series "
        "Instance UID of its own.",
        tuple(examples),
    )
