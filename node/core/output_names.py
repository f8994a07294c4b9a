"""File names of outputs from attributes of a series. Received text never becomes a path."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import accumulate
from string import Formatter
from typing import Any, NamedTuple

from node.core.errors import ConfigError
from node.core.query_keys import BY_KEYWORD, Level

MAX_COMPONENT_BYTES = 255  # of a folder or file name on ext4, XFS, APFS and NTFS
SUFFIX_BYTES = (
    64  # room for what is appended to a stem: `_e2_ph`, `_a1b2c3d4`, `.manifest.r12.json`
)
UNNAMED = "unnamed"  # for a component that would be empty

ENDINGS = (
    ".nii.gz", ".nii", ".json", ".bval", ".bvec", "context.tsv", ".txt", ".png", ".manifest.json",
    ".quality.json", ".tsnr.png",
)  # fmt: skip
"""Extensions of a volume's files. All are reserved, written or not: a series with the description
`T1.manifest` must not get the name of the manifest of `T1`."""
_ASIDE = re.compile(r"\.manifest\.r[0-9]+$")
"""End of the name of an earlier revision's manifest, without `.json`."""

_NUMERIC = frozenset({"IS", "US", "UL", "SS", "SL"})
_NUMBER_SPEC = re.compile(r"0?[1-9]?\d?d?")
_TEXT_SPEC = re.compile(r"(\.[1-9]\d{0,2})?")
_KEPT = frozenset("-_.+")
_DIGEST = 6  # hexadecimal digits
_RUN = re.compile(r"_{2,}")


class _Field(NamedTuple):
    keyword: str
    spec: str


def check_template(template: str) -> None:
    """Check a template for names before a series is named by it.

    Raises:
        ConfigError: it has an attribute that the index does not keep or that differs from image
            to image, a format that does not fit, or a path that leaves the output folder.
    """
    if not template.strip():
        raise ConfigError("output.name is empty; it names the files of every volume")
    if template.startswith("/") or template.endswith("/"):
        raise ConfigError(f"output.name {template!r} must be a relative name of a file")
    for component in template.split("/"):
        if component.strip() in {"", ".", ".."}:
            raise ConfigError(f"output.name {template!r} has an empty or dotted folder in it")
    if not any(isinstance(part, _Field) for part in _parse(template)):
        raise ConfigError(f"output.name {template!r} would give every series the same name")


def check_label(template: str) -> None:
    """Check a template for one label of a name, such as that of a participant.

    Raises:
        ConfigError: as for `check_template`; or it has no attribute, or a slash.
    """
    if "/" in template or not any(isinstance(part, _Field) for part in _parse(template)):
        raise ConfigError(
            f"output.name {template!r} must have an attribute and no slash, such as {{PatientID}}"
        )


def fill(template: str, attributes: Mapping[str, Any]) -> str:
    """Return a template with the values of its attributes, which may have any character.

    Args:
        template: a checked template.
        attributes: keyword -> value, as in the index.
    """
    return "".join(
        _formatted(part, attributes.get(part.keyword)) if isinstance(part, _Field) else part
        for part in _parse(template)
    )


def render_name(template: str, attributes: Mapping[str, Any]) -> str:
    """Return the name of a series without extension, relative to the output folder.

    Absent attributes are left out, and underscores that then stand at an end or beside each other
    are dropped: `{SeriesNumber:04d}_{Modality}_{SeriesDescription}` without a description gives
    `0003_MR`.

    Args:
        template: a checked template.
        attributes: keyword -> value, as in the index.

    Examples:
        >>> render_name("{SeriesNumber:04d}_{Modality}", {"SeriesNumber": "3", "Modality": "MR"})
        '0003_MR'
    """
    components: list[str] = [""]
    labels = is_bids(template)
    for part in _parse(template):
        if isinstance(part, _Field):
            text = _formatted(part, attributes.get(part.keyword))
            components[-1] += bids_label(text) if labels else _clean(text)
        else:
            first, *others = part.split("/")
            components[-1] += _clean(first)
            components.extend(_clean(other) for other in others)
    folders, stem = components[:-1], components[-1]
    return "/".join(
        [
            *(_component(folder, MAX_COMPONENT_BYTES) for folder in folders),
            _component(stem, MAX_COMPONENT_BYTES - SUFFIX_BYTES),
        ]
    )


def folded(name: str) -> str:
    """Return a name as SMB, APFS and NTFS compare it: without case, accents in one encoding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class NameConflicts(NamedTuple):
    """Folded stems that would share the name of a file or folder with a stem.

    Attributes:
        stems: the stems.
        prefixes: every stem that begins with one of these conflicts, too.
    """

    stems: frozenset[str]
    prefixes: tuple[str, ...]


def conflicts_of(stem: str) -> NameConflicts:
    """Return the names that no other series may have if one has the name `stem`."""
    name = folded(stem)
    files = [name + ending for ending in ENDINGS]
    folders = list(accumulate(name.split("/")[:-1], lambda above, below: f"{above}/{below}"))
    stems = {
        file.removesuffix(ending)
        for file in (*files, *folders)
        for ending in ENDINGS
        if file.endswith(ending)
    }
    stems.add(_ASIDE.sub("", name))
    return NameConflicts(frozenset(stems), (f"{name}.manifest.r", *(f"{file}/" for file in files)))


def is_bids(name: str) -> bool:
    """Tell whether a name or template is one of BIDS, such as `sub-01_T1w`."""
    stem = name.rpartition("/")[2]
    return stem.startswith("sub-") and "_" in stem


def bids_label(text: str) -> str:
    """Return a value as BIDS allows it in a name: at least one ASCII letter or digit.

    A value that loses a character gets a digest, so that the IDs AB-12 and AB12 stay two subjects.
    """
    if not text:
        return UNNAMED
    kept = "".join(char for char in text if char.isascii() and char.isalnum())
    if kept == text:
        return text
    return kept + hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def _parse(template: str) -> list[str | _Field]:
    parts: list[str | _Field] = []
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"output.name {template!r} cannot be read: {error}") from error
    for literal, keyword, spec, conversion in pieces:
        if literal:
            parts.append(literal)
        if keyword is not None:
            parts.append(_field(keyword, spec or "", conversion))
    return parts


def _field(keyword: str, spec: str, conversion: str | None) -> _Field:
    attribute = BY_KEYWORD.get(keyword)
    if attribute is None:
        near = get_close_matches(keyword, BY_KEYWORD, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"output.name has {{{keyword}}}, which the index does not keep{hint}")
    if attribute.level is Level.IMAGE or attribute.vr == "SQ":
        raise ConfigError(f"output.name has {{{keyword}}}, which is not one value for a series")
    allowed = _NUMBER_SPEC if attribute.vr in _NUMERIC else _TEXT_SPEC
    if conversion or not allowed.fullmatch(spec):
        example = f"{{{keyword}:04d}}" if attribute.vr in _NUMERIC else f"{{{keyword}:.40}}"
        raise ConfigError(
            f"output.name has a format after {{{keyword}}} that does not suit it; try {example}"
        )
    return _Field(keyword, spec)


def _formatted(field: _Field, value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, list | tuple):
        return "_".join(_formatted(field, item) for item in value)
    if BY_KEYWORD[field.keyword].vr in _NUMERIC:
        try:
            return format(int(str(value)), field.spec)
        except ValueError:
            return str(value)
    return format(str(value), field.spec)


def _clean(text: str) -> str:
    """Keep letters, digits and a few harmless signs; all other characters become underscores."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(char if char.isalnum() or char in _KEPT else "_" for char in composed)


def _component(text: str, limit: int) -> str:
    bare = _RUN.sub("_", text).strip("_").lstrip(".").strip("_")
    cut = bare.encode()[:limit].decode(errors="ignore").rstrip("_. ")
    return cut or UNNAMED
