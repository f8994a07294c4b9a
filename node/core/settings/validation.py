"""Find all mistakes of a configuration at once, each with its line and a sentence.

pydantic does not validate a model as a whole before each of its values is valid. So invalid values
are removed and the rest is validated again, until there are no new mistakes.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from node.core.settings.contradictions import Location, contradictions
from node.core.settings.model import VALUES_ALONE, Settings
from node.core.settings.origins import Origins

Check = Callable[[Settings], Iterable[tuple[Location, str]]]
"""Checks valid settings further, such as the files that they name."""

_ROUNDS = 20  # each round removes a value, so that far fewer are enough
STAND_INS: Final[Mapping[str, Any]] = {
    "protocol": "protocol.json",
    "name": "x",
    "ae_title": "X",
    "host": "localhost",
    "certificate": "x",
    "key": "x",
    "ca": "x",
    "url": "http://localhost/",
    "run": ["x"],
    "peer": "x",
    "path": "x",
    "send": "x",
    "issuer": "https://localhost",
    "client_id": "x",
    "client_secret_file": "x",
    "roles": {"viewer": ["x"]},
    "user_header": "x",
    "roles_header": "x",
    "trusted": ["127.0.0.1"],
}
"""Values of required keys while the rest is validated."""
_REMOVED: Final[Mapping[Location, str]] = {
    ("dicom", "keep_awake"): "it was removed because it had no effect; delete it",
}
"""Keys of earlier versions, and what to do about them."""
_SECRETS = frozenset({"users", "secret", "environment"})
"""Keys whose values are not shown in messages."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Attributes:
        line: line of the file; 0 if it is not in the file.
        sentence: what is wrong, with its place.
    """

    line: int
    sentence: str


def mistakes_in(
    values: Mapping[str, Any], origins: Origins, checks: Iterable[Check] = ()
) -> list[Mistake]:
    """Return all mistakes in values.

    Args:
        values: the values of file and environment together.
        origins: where each value comes from.
        checks: further checks of the valid values.
    """
    given, found, taken_out = _checked(dict(values))
    mistakes = [
        _mistake(origins, _place_of(location, detail), _sentence(detail, origins))
        for location, detail in found.items()
    ]
    others = list(contradictions(values))
    if given is not None:
        others += [
            (location, text)
            for check in checks
            for location, text in check(given)
            if not any(_beside(location, gone) for gone in taken_out)
        ]
    mistakes += [
        _mistake(origins, location, f"{origins.place(location)}: {text}")
        for location, text in others
    ]
    return mistakes


def _beside(one: Location, other: Location) -> bool:
    """Tell whether two keys are the same, or one is above the other."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _mistake(origins: Origins, location: Location, text: str) -> Mistake:
    inside = None if origins.variable(location) else origins.line(location)
    return Mistake(inside or 0, text)


def _checked(
    values: dict[str, Any],
) -> tuple[Settings | None, dict[Location, ErrorDetails], list[Location]]:
    """Return the settings without invalid values, the mistakes, and the removed keys."""
    found: dict[Location, ErrorDetails] = {}
    taken_out: list[Location] = []
    for _ in range(_ROUNDS):
        try:
            settings = Settings.model_validate(values, context=VALUES_ALONE)
            return settings, found, taken_out
        except ValidationError as error:
            details = {_location(detail): detail for detail in error.errors()}
        for location, detail in details.items():
            if not _follows(location, taken_out):
                found.setdefault(location, detail)
        cuts = {_key(location) for location in details}
        fine = cuts.intersection(details)  # keys of their own, and no lists for one of their items
        for cut in sorted(fine or cuts, key=str):
            values = _without(values, cut)
            taken_out.append(cut)
    return None, found, taken_out


def _location(detail: ErrorDetails) -> Location:
    return tuple(part for part in detail["loc"] if not _is_union_label(part))


def _place_of(location: Location, detail: ErrorDetails) -> Location:
    """Return the place of a mistake: a missing key is missing in the key above it."""
    return location[:-1] if detail["type"] == "missing" else location


def _key(location: Location) -> Location:
    """Return the key of a value: for an item of a list, that of the list."""
    while len(location) > 1 and isinstance(location[-1], int):
        location = location[:-1]
    return location


def _follows(location: Location, taken_out: Iterable[Location]) -> bool:
    """Tell whether a mistake may only follow from a value that was removed."""
    for gone in taken_out:
        field = _field(gone)
        if location == gone or (location == gone[:-1] and field is not None and _may_lack(field)):
            return True
    return False


def _may_lack(field: FieldInfo) -> bool:
    """Tell whether leaving the key out has a meaning of its own."""
    return field.default is None


def _without(values: dict[str, Any], location: Location) -> dict[str, Any]:
    """Return the values with a stand-in for a required one, or without an optional one."""
    values = copy.deepcopy(values)
    inner: Any = values
    for part in location[:-1]:
        try:
            inner = inner[part]
        except (KeyError, IndexError, TypeError):
            return values
    if isinstance(inner, dict):
        field, name = _field(location), location[-1]
        if field is not None and field.is_required() and name in STAND_INS:
            inner[name] = STAND_INS[str(name)]
        else:
            inner.pop(name, None)
    return values


def _sentence(detail: ErrorDetails, origins: Origins) -> str:
    location = _location(detail)
    key = ".".join(str(part) for part in location)
    place = origins.place(_place_of(location, detail))
    if detail["type"] == "extra_forbidden" and location in _REMOVED:
        return f"{place}: there is no key {key!r} any more: {_REMOVED[location]}"
    if detail["type"] == "extra_forbidden":
        near = _nearest(location)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"{place}: there is no key {key!r}{hint}"
    if detail["type"] == "missing":
        return f"{place}: {key} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if not message[:2].isupper():
        message = f"{message[0].lower()}{message[1:]}"
    if isinstance(detail["input"], dict | list) or not _SECRETS.isdisjoint(location):
        return f"{place}: {key}: {message}"  # the value is long or secret
    return f"{place}: {key}: {message} (it is {repr(detail['input'])[:60]})"


def _is_union_label(part: int | str) -> bool:
    """Tell whether a part of a location is pydantic's name for a branch of a union."""
    return isinstance(part, str) and (
        "[" in part or part.startswith(("constrained-", "int", "float"))
    )


def _nearest(location: Location) -> str | None:
    """Return the known key that is most similar to an unknown one, at its level or any other."""
    model: Any = Settings
    for part in location[:-1]:
        model = _child(model, part)
        if model is None:
            return None
    elsewhere = {path.rsplit(".", 1)[-1]: path for path in _paths(Settings)}
    if location[-1] in elsewhere:
        return elsewhere[str(location[-1])]
    own = difflib.get_close_matches(str(location[-1]), _keys(model), n=1)
    if own:
        return ".".join([*(str(part) for part in location[:-1]), own[0]])
    other = difflib.get_close_matches(str(location[-1]), list(elsewhere), n=1, cutoff=0.8)
    return elsewhere[other[0]] if other else None


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a settings class, as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _field(location: Location) -> FieldInfo | None:
    model: Any = Settings
    for part in location[:-1]:
        model = _child(model, part)
        if model is None:
            return None
    return model.model_fields.get(location[-1]) if location else None


def _child(model: type[BaseModel], part: int | str) -> Any:
    if isinstance(part, int):
        return model
    field = model.model_fields.get(part)
    return _model_in(field.annotation) if field else None


def _model_in(annotation: Any) -> Any:
    """Return the settings class in an annotation such as `TLS | None` or `tuple[Peer, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is None and not isinstance(annotation, type(Union[int, str])):  # noqa: UP007
        return None
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in zip(_keys(model), model.model_fields.values(), strict=True):
        found.append(prefix + name)
        inner = _model_in(field.annotation)
        if inner is not None:
            found += _paths(inner, f"{prefix}{name}.")
    return found
