"""What the numbers of a mask mean: names, colours and codes."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from node.convert.results.codes import CATEGORIES, Code, Coded, coded, normalised
from node.convert.results.refusals import Refusal, ResultError

__all__ = ["Code", "Label", "named", "read_codes", "read_labels"]

Colour = tuple[int, int, int]
LONGEST_NAME: Final = 64
"""Characters of Segment Label (0062,0005), VR LO; ROI Name (3006,0026) takes as many here."""
LARGEST: Final = 2**31 - 1
"""The largest number of a label."""
_GOLDEN_ANGLE: Final = 0.381966
"""Of a full turn of hues: neighbours in the list never look alike."""


class Label(NamedTuple):
    """What one number of a mask means.

    Attributes:
        value: the number.
        colour: sRGB, 0 to 255; None: one is chosen.
        category, type: Segmented Property Category and Type (PS3.3 C.8.20.2); None: by the name.
    """

    value: int
    name: str
    colour: Colour | None = None
    category: Code | None = None
    type: Code | None = None

    def coded(self, further: Mapping[str, Coded] | None = None) -> Coded:
        """Return its codes: its own, or those of its name, or those of any tissue.

        Args:
            further: codes by normalised name, before those of the standard.
        """
        known = coded(self.name, further or {})
        if self.type is not None:
            return Coded(self.category or known.category, self.type)
        if self.category is not None:
            return known._replace(category=self.category)
        return known

    def shown(self, place: int) -> Colour:
        """Return its colour, or one that is unlike those of its neighbours.

        Args:
            place: of the label in its list, from 0.
        """
        if self.colour is not None:
            return self.colour
        red, green, blue = colorsys.hsv_to_rgb((place * _GOLDEN_ANGLE) % 1.0, 0.75, 0.95)
        return round(red * 255), round(green * 255), round(blue * 255)


def read_labels(content: object) -> list[Label]:
    """Read a list of labels, as the node writes it beside a label map.

    Args:
        content: JSON: a list of `{value, name, colour, category, type}`, or an object with such a
            list under `Labels`. `colour` is `[red, green, blue]`, codes are
            `{value, scheme, meaning}`. The number 0 is the background and is ignored.

    Raises:
        ResultError: `bad-labels`, with the entry that is wrong.
    """
    listed = content.get("Labels") if isinstance(content, Mapping) else content
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise _bad('it has no list of labels: {"Labels": [{"value": 1, "name": "Liver"}]}')
    found = [_label(item, f"entry {number}") for number, item in enumerate(listed, 1)]
    labels = [label for label in found if label.value]
    values = [label.value for label in labels]
    doubled = sorted({value for value in values if values.count(value) > 1})
    if doubled:
        raise _bad(f"the number {doubled[0]} is there twice")
    return labels


def named(values: Sequence[int], labels: Sequence[Label] | None) -> list[Label]:
    """Return the label of each number of a mask.

    Args:
        values: the numbers that the mask has.
        labels: the list of labels; None: each number is called `Label N`.

    Raises:
        ResultError: `unknown-label`, if a number is not in the list.
    """
    if labels is None:
        return [Label(value, f"Label {value}") for value in values]
    known = {label.value: label for label in labels}
    unknown = [value for value in values if value not in known]
    if unknown:
        shown = ", ".join(map(str, unknown[:20]))
        raise ResultError(
            Refusal.UNKNOWN_LABEL,
            f"The mask has {len(unknown)} numbers that the labels do not name: {shown}. Add them "
            "to the labels, or leave --labels out.",
        )
    return [known[value] for value in values]


def read_codes(content: object) -> dict[str, Coded]:
    """Read a table of names and their codes.

    Args:
        content: JSON: `{name: {"category": {value, scheme, meaning}, "type": {…}}}`; without a
            category it is an anatomical structure.

    Returns:
        codes by normalised name.

    Raises:
        ResultError: `bad-labels`, with the entry that is wrong.
    """
    if not isinstance(content, Mapping):
        raise _bad("the codes are no object of names")
    found = {}
    for name, item in content.items():
        where = f"the code of {name!r}"
        if not isinstance(item, Mapping) or item.get("type") is None:
            raise _bad(f"{where} has no type {{value, scheme, meaning}}")
        category = _code(item.get("category"), where) or CATEGORIES["anatomy"]
        kind = _code(item["type"], where)
        assert kind is not None  # noqa: S101
        found[normalised(str(name))] = Coded(category, kind)
    return found


def _label(item: object, where: str) -> Label:
    if not isinstance(item, Mapping):
        raise _bad(f"{where} is no object with value and name")
    value = item.get("value")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise _bad(f"{where} has no whole number from 0 as its value")
    where = f"{where} (value {value})"
    name = item.get("name", f"Label {value}")
    if not isinstance(name, str):
        raise _bad(f"{where} has a name that is no text")
    return Label(
        value,
        _text(name, f"the name of {where}"),
        _colour(item.get("colour", item.get("color")), where),
        _code(item.get("category"), where),
        _code(item.get("type"), where),
    )


def _text(text: str, where: str) -> str:
    """Check a text for VR LO (PS3.5 6.2)."""
    stripped = text.strip()
    if not 0 < len(stripped) <= LONGEST_NAME:
        raise _bad(f"{where} has {len(stripped)} characters; 1 to {LONGEST_NAME} are allowed")
    if "\\" in stripped or not stripped.isprintable():
        raise _bad(f"{where} has a backslash or a control character in it")
    return stripped


def _colour(value: Any, where: str) -> Colour | None:
    if value is None:
        return None
    if (
        not isinstance(value, Sequence)
        or len(value) != 3
        or not all(isinstance(part, int) and 0 <= part <= 255 for part in value)
    ):
        raise _bad(f"{where} has a colour that is not [red, green, blue], each 0 to 255")
    red, green, blue = value
    return red, green, blue


def _code(item: Any, where: str) -> Code | None:
    if item is None:
        return None
    parts = [item.get(key) for key in ("value", "scheme", "meaning")] if _is_object(item) else []
    if not parts or not all(isinstance(part, str) for part in parts):
        raise _bad(f"{where} has a code that is not {{value, scheme, meaning}}, all of them text")
    value, scheme, meaning = (_text(part, f"a code of {where}") for part in parts)
    if len(scheme) > 16:
        raise _bad(f"{where} has a coding scheme of more than 16 characters")
    return Code(value, scheme, meaning)


def _is_object(item: object) -> bool:
    return isinstance(item, Mapping)


def _bad(what: str) -> ResultError:
    return ResultError(Refusal.BAD_LABELS, f"The labels cannot be used: {what}.")
