"""Everything that is wrong in a configuration, gathered in one go and told in sentences.

A model of pydantic's does not look at how its values go together before each of them is right. So
what was found is taken out and the rest is looked at again, until nothing new comes up.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from node.core.settings.contradictions import Location, contradictions
from node.core.settings.model import Settings
from node.core.settings.origins import Origins

Check = Callable[[Settings], Iterable[tuple[Location, str]]]
"""Looks at settings that are right by themselves: files that they name, for example."""

_ROUNDS = 20  # each takes something out, so that far fewer are enough
STAND_INS: Final[Mapping[str, Any]] = {
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
}
"""For keys that have to be there: what is taken in their place while the rest is looked at."""
_SECRETS = frozenset({"users", "secret", "environment"})
"""What is below these keys is not repeated in messages."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to correct.

    Attributes:
        line: of the file; 0: it is not in the file.
    """

    line: int
    sentence: str


class _Given(Settings):
    """Settings of the values that are handed in alone, each looked at by itself."""

    @model_validator(mode="after")
    def _fits_together(self) -> _Given:
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def mistakes_in(
    values: Mapping[str, Any], origins: Origins, checks: Iterable[Check] = ()
) -> list[Mistake]:
    """Everything that is wrong in some values.

    Args:
        values: what file and environment say together.
        checks: tried on what is right by itself.
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
    """Whether one of two keys is the other, or above it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _mistake(origins: Origins, location: Location, text: str) -> Mistake:
    inside = None if origins.variable(location) else origins.line(location)
    return Mistake(inside or 0, text)


def _checked(
    values: dict[str, Any],
) -> tuple[Settings | None, dict[Location, ErrorDetails], list[Location]]:
    """The settings without what is wrong, what that is, and what had to be left out for it."""
    found: dict[Location, ErrorDetails] = {}
    taken_out: list[Location] = []
    for _ in range(_ROUNDS):
        try:
            return _Given(**values), found, taken_out
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
    """Where to look for it: what is missing is missing in what is above it."""
    return location[:-1] if detail["type"] == "missing" else location


def _key(location: Location) -> Location:
    """The key that a value is below: a list's, for one of its items."""
    while len(location) > 1 and isinstance(location[-1], int):
        location = location[:-1]
    return location


def _follows(location: Location, taken_out: Iterable[Location]) -> bool:
    """Whether a mistake may only be there since something was taken out."""
    for gone in taken_out:
        field = _field(gone)
        if location == gone or (location == gone[:-1] and field is not None and _may_lack(field)):
            return True
    return False


def _may_lack(field: FieldInfo) -> bool:
    """Whether to leave a key out says something of its own."""
    return field.default is None


def _without(values: dict[str, Any], location: Location) -> dict[str, Any]:
    """The values with a stand-in for one of them, or without it where it need not be there."""
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
        return f"{place}: {key}: {message}"  # the line says where it is
    return f"{place}: {key}: {message} (it is {repr(detail['input'])[:60]})"


def _is_union_label(part: int | str) -> bool:
    """Pydantic names the branch of a union in its locations; nobody wrote that."""
    return isinstance(part, str) and (
        "[" in part or part.startswith(("constrained-", "int", "float"))
    )


def _nearest(location: Location) -> str | None:
    """The known key that looks most like the unknown one, at its own level or at any other."""
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
    """The settings class inside an annotation such as `TLS | None` or `tuple[Peer, ...]`."""
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
