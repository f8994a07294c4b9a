"""Names of output files from attributes of a series. Text from a peer never becomes a path."""

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

MAX_COMPONENT_BYTES = 255  # of a folder's or a file's name on ext4, XFS, APFS and NTFS alike
SUFFIX_BYTES = (
    64  # room for what is appended to a stem: `_e2_ph`, `_a1b2c3d4`, `.manifest.r12.json`
)
UNNAMED = "unnamed"  # a component that would otherwise be empty

ENDINGS = (
    ".nii.gz", ".nii", ".json", ".bval", ".bvec", "context.tsv", ".txt", ".png", ".manifest.json",
)  # fmt: skip
"""What may follow a volume's name. All are taken, written or not: a series that is described as
`T1.manifest` must not get the name of the manifest of `T1`."""
_ASIDE = re.compile(r"\.manifest\.r[0-9]+$")
"""What an earlier revision's manifest is called, before its `.json`."""

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
    """Find what is wrong with a name template before a series is named by it.

    Raises:
        ConfigError: an attribute that the index does not keep, one that differs from image to
            image, a format that does not suit it, or a path that leaves the output folder.
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


def render_name(template: str, attributes: Mapping[str, Any]) -> str:
    """The stem that `template` gives a series with `attributes`, relative to the output folder.

    What is missing renders as nothing, and underscores that then stand at an end or beside each
    other are dropped: `{SeriesNumber:04d}_{Modality}_{SeriesDescription}` without a description
    gives `0003_MR`.

    Args:
        attributes: keyword -> value, as the index keeps them.
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
    """A name as SMB, APFS and NTFS compare it: whatever its capitals and its accents' encoding."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Rivals(NamedTuple):
    """The stems, folded, that would share a file or a folder's name with a stem.

    Attributes:
        stems: these themselves.
        beginnings: whatever begins with one of these.
    """

    stems: frozenset[str]
    beginnings: tuple[str, ...]


def rivals_of(stem: str) -> Rivals:
    """What no other series may be called if one is called `stem`."""
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
    return Rivals(frozenset(stems), (f"{name}.manifest.r", *(f"{file}/" for file in files)))


def is_bids(name: str) -> bool:
    """Tell whether a name, or a template for names, is one of BIDS: `sub-01_T1w`."""
    stem = name.rpartition("/")[2]
    return stem.startswith("sub-") and "_" in stem


def bids_label(text: str) -> str:
    """Return a value as BIDS allows it in a name: ASCII letters and digits, at least one.

    What loses a character gets a digest instead, so that the IDs AB-12 and AB12 stay two subjects.
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
    """Letters, digits and a few harmless signs; everything else becomes an underscore."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(char if char.isalnum() or char in _KEPT else "_" for char in composed)


def _component(text: str, limit: int) -> str:
    bare = _RUN.sub("_", text).strip("_").lstrip(".").strip("_")
    cut = bare.encode()[:limit].decode(errors="ignore").rstrip("_. ")
    return cut or UNNAMED
