"""Rules that name volumes: which rule a volume matches, by patterns and numbers. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from node.core.conditions.values import KEYS

IMAGE_TYPE: Final = "ImageType"
OF_THE_IMAGE: Final = (
    "MRAcquisitionType",
    "ScanOptions",
    "ScanningSequence",
    "SequenceName",
    "SequenceVariant",
)
"""Keys that only the images have, by their DICOM keywords."""
VOLUMES: Final = "Volumes"
SLICES: Final = "Slices"
DIMENSIONS: Final = "Dimensions"
DIFFUSION: Final = "Diffusion"
ECHOES: Final = "Echoes"
ECHO: Final = "Echo"
KIND: Final = "Kind"
OF_THE_VOLUME: Final = (VOLUMES, SLICES, DIMENSIONS, DIFFUSION, ECHOES, ECHO, KIND)
"""Keys of what assembly found."""
RULE_KEYS: Final = (*KEYS, *OF_THE_IMAGE, *OF_THE_VOLUME)
"""Every key that `when` and `unless` of a rule can have."""

Values = Mapping[str, tuple[str, ...]]
"""What is known of a volume and its series: key -> values as text."""

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARED: Final = re.compile(r"\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class OutputRule:
    """One rule of `output.rules`.

    Attributes:
        when: key -> patterns; every key has to match by one of its patterns.
        unless: key -> patterns; no key may match.
        name: template of the name; None: no volume is made.
        use: name of a built-in rule set, which gives the name; empty: `name` counts.
        participant: template of the participant's label, for a built-in rule set.
    """

    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]
    name: str | None = None
    use: str = ""
    participant: str = ""

    def mismatch(self, values: Values) -> str:
        """Return why a volume does not match; empty if it does.

        Args:
            values: what is known of it.
        """
        for key, patterns in self.when.items():
            found = values.get(key, ())
            if not _any_match(found, patterns):
                return f"{key} is {_shown(found)}, not {' or '.join(patterns)}"
        for key, patterns in self.unless.items():
            found = values.get(key, ())
            if _any_match(found, patterns):
                return f"{key} is {_shown(found)}, which is left out"
        return ""


def wrong_key(key: str) -> str:
    """Return what is wrong with the key of a condition; empty if it is one of `RULE_KEYS`.

    Examples:
        >>> wrong_key("Modalty")
        "'Modalty' is nothing that rules can match; did you mean Modality?"
    """
    if key in RULE_KEYS:
        return ""
    near = get_close_matches(key, RULE_KEYS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key!r} is nothing that rules can match{hint}"


def wrong_comparison(pattern: str) -> str:
    """Return what is wrong with a pattern that begins like a comparison; empty if nothing is."""
    if pattern.lstrip()[:1] not in {"<", ">"} or _COMPARED.fullmatch(pattern):
        return ""
    return f"{pattern!r} compares with no number; write for example '>1' or '<=2'"


def _any_match(values: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(_matches(value, pattern) for value in values for pattern in patterns)


def _matches(value: str, pattern: str) -> bool:
    compared = _COMPARED.fullmatch(pattern)
    if compared is None:
        return fnmatchcase(value.casefold(), pattern.casefold())
    try:
        return _COMPARISONS[compared[1]](float(value), float(compared[2]))
    except ValueError:  # the value is no number
        return False


def _shown(values: tuple[str, ...]) -> str:
    return " and ".join(repr(value) for value in values) or "absent"
