"""Names after the ReproIn convention: the scanner's protocol name says what a series is.

`[PREFIX:][WIP ]datatype[-suffix][_ses-ID][_task-ID][_acq-ID][_run-ID][_dir-ID][…][__comment]`, see
https://github.com/ReproNim/reproin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from node.core.output_names import bids_label, fill

_DATATYPES: Final = frozenset({"anat", "func", "fmap", "dwi", "perf", "pet", "meg", "eeg"})
_FIELDS: Final = ("ProtocolName", "SeriesDescription")
"""Attributes that may have such a name; the first that has one counts."""
_PREFIX: Final = re.compile(r"^[A-Z]*:")
_FORBIDDEN: Final = re.compile(r"[#!@$%^&.,:;]")
_DATES: Final = frozenset({"{date}", "DATE"})
_COUNTED: Final = frozenset("+=")
_ORDER: Final = ("task", "acq", "rec", "dir")
_SINGLE_BAND: Final = "_SBRef"
_SCOUT: Final = "scout"
UNKNOWN_TASK: Final = "UNKNOWN"


class Spec(NamedTuple):
    """What a name says.

    Attributes:
        datatype: folder of the dataset: anat, func …
        suffix: last part of the file name; empty if the name does not say.
        session: label of the session; empty if the name does not say.
        run: digits, `+` (the next), `=` (the same); empty if the name does not say.
        entities: key -> label of the others, in the order of the name.
    """

    datatype: str
    suffix: str
    session: str
    run: str
    entities: Mapping[str, str]


class Named(NamedTuple):
    """The name of one volume.

    Attributes:
        stem: with folders; empty: the series makes no volume.
        counted: the run is counted, even if there is only one.
    """

    stem: str
    counted: bool


def spec_of(attributes: Mapping[str, Any]) -> Spec | None:
    """Return what the name of a series says; None if it is none of ReproIn's.

    Args:
        attributes: of the series.
    """
    found = (_parsed(str(attributes.get(field) or "")) for field in _FIELDS)
    return next((spec for spec in found if spec is not None), None)


def session_of(study: Iterable[Mapping[str, Any]], *, dates: bool) -> str:
    """Return the session of a study: the one that any of its series names, empty if none does.

    Of several the first in the order of the alphabet counts, so that the order of arrival does not
    matter.

    Args:
        study: the attributes of its series.
        dates: whether names may have the date of the study.
    """
    labels = set()
    for attributes in study:
        spec = spec_of(attributes)
        if spec is not None and spec.session:
            day = str(attributes.get("StudyDate") or "") if dates else ""
            labels.add(day if spec.session in _DATES else spec.session)
    return min((bids_label(label) for label in labels if label), default="")


def name_of(
    attributes: Mapping[str, Any], participant: str, session: str, kind: str, words: Iterable[str]
) -> Named | None:
    """Return the name of a volume; None if the series has no name of ReproIn.

    Args:
        attributes: of the series, its study and its patient.
        participant: template of the participant's label.
        session: label of the session; empty for none.
        kind: of image: magnitude, phase …
        words: values of Image Type.
    """
    spec = spec_of(attributes)
    if spec is None:
        return None
    if spec.suffix.startswith(_SCOUT):
        return Named("", counted=False)
    words = set(words)
    suffix = spec.suffix or _suffix(spec, kind, words)
    if str(attributes.get("SeriesDescription") or "").endswith(_SINGLE_BAND):
        suffix = "sbref"
    entities = dict(spec.entities)
    if spec.datatype == "func":
        entities.setdefault("task", UNKNOWN_TASK)
    if "MOCO" in words:
        entities["rec"] = "moco"
    keys: list[str] = [key for key in _ORDER if key in entities]
    keys += [key for key in entities if key not in _ORDER]
    subject = bids_label(fill(participant, attributes))
    where = [f"sub-{subject}", *([f"ses-{session}"] if session else [])]
    what = [f"{key}-{entities[key]}" for key in keys]
    run = [f"run-{int(spec.run):02d}"] if spec.run.isdecimal() else []
    stem = "_".join([*where, *what, *run, suffix])
    return Named("/".join([*where, spec.datatype, stem]), spec.run in _COUNTED and bool(spec.run))


def _suffix(spec: Spec, kind: str, words: set[str]) -> str:
    """Return the suffix of a series whose name has none, from what its images are."""
    if spec.datatype == "func":
        return "bold"
    if spec.datatype == "fmap":
        if "DIFFUSION" in words or "dir" in spec.entities:
            return "epi"
        return {"phase": "phasediff", "fieldmap": "fieldmap"}.get(kind, "magnitude")
    return {"anat": "T1w", "perf": "asl"}.get(spec.datatype, spec.datatype)


def _parsed(text: str) -> Spec | None:
    text = text.strip(" ").replace("anat_T1w", "anat-T1w").replace("AAHead_Scout", "anat-scout")
    text = _PREFIX.sub("", text).removeprefix("WIP ").split("__", 1)[0]
    text = text.replace("(", "{").replace(")", "}")  # Philips allows no braces
    first, *rest = text.removeprefix("bids_").split("_")
    datatype, _, suffix = ("anat-scout" if first == _SCOUT else first).partition("-")
    if datatype not in _DATATYPES:
        return None
    session = run = ""
    entities: dict[str, str] = {}
    for part in rest:
        key, dash, value = part.partition("-")
        if not dash and key[-1:] in _COUNTED and key:
            key, value = key[:-1], key[-1]
        if key == "ses" and value:
            session = value if value in _DATES else _label(value)
        elif key == "run" and (value in _COUNTED or value.isdecimal()):
            run = value
        elif value:
            entities[_label(key)] = _label(value) or UNKNOWN_TASK
        elif key and not suffix:
            suffix = _label(key)
    if session in _COUNTED:
        return None  # a session that is counted needs all studies of the person
    return Spec(datatype, _label(suffix), session, run, entities)


def _label(text: str) -> str:
    """Return a label without what BIDS does not allow; `-` becomes X, as in heudiconv."""
    replaced = _FORBIDDEN.sub("", text.replace("_", "X").replace("-", "X"))
    return "".join(char for char in replaced if (char.isascii() and char.isalnum()) or char in "+=")
