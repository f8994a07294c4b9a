"""Reading the YAML file, and saying of each mistake where it is and what was probably meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from node.config import Settings
from node.convert_settings import ConvertSettings
from node.dcm2nii_ini import is_ini, translated
from node.errors import ConfigError

DEFAULT_FILE = Path("config.yaml")
_PREFIX = "RASNODE_"
_SECRETS = frozenset({"users", "secret", "environment"})
"""What is below these keys is not repeated in messages."""
_NO_HASH = (
    "not the SHA-256 of a passcode, which has 64 hexadecimal digits; "
    "`printf %s PASSCODE | sha256sum` prints it"
)


def load_settings(path: Path | None = None) -> Settings:
    """The effective settings.

    Args:
        path: the YAML file; None takes `./config.yaml` if it is there, else the defaults.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it or in the environment is
            wrong; the text names every mistake with its line.
    """
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    values, tree, where = _parsed(path)
    return _validated(values, tree, where)


def load_convert_settings(path: Path | None = None) -> ConvertSettings:
    """The `convert:` section alone, so that mistakes elsewhere do not stop `rasnode convert`.

    Args:
        path: the YAML file; None takes `./config.yaml` if it is there, else the defaults.

    Raises:
        ConfigError: as `load_settings`.
    """
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    values, tree, where = _parsed(path)
    section = {name: value for name, value in values.items() if name == "convert"}
    return _validated(section, tree, where).convert


def load_defaults(path: Path) -> ConvertSettings:
    """Read a file of defaults: the keys of `convert:`, or dcm2niix's `.dcm2nii.ini`.

    Raises:
        ConfigError: as `load_settings`.
    """
    text = _read(path)
    values, tree, where = _parsed(path, translated(text, str(path)) if is_ini(text) else text)
    if tree is not None:
        name = yaml.ScalarNode("tag:yaml.org,2002:str", "convert", tree.start_mark)
        tree = yaml.MappingNode("tag:yaml.org,2002:map", [(name, tree)], tree.start_mark)
    try:
        return _validated({"convert": values}, tree, where).convert
    except ConfigError as error:
        raise ConfigError(str(error).replace("convert.", "")) from error


def _parsed(
    path: Path | None, text: str | None = None
) -> tuple[dict[str, Any], yaml.Node | None, str]:
    """Return what a file says, its YAML, and how messages call it."""
    if text is None:
        text = _read(path) if path else ""
    where = str(path) if path else "built-in defaults"
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(_no_yaml(error, where)) from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: the file must hold keys such as dicom: and storage:")
    doubled = list(_doubled(tree, where))
    if doubled:
        raise ConfigError("\n".join(doubled))
    return {str(key): value for key, value in values.items()}, tree, where


def _validated(values: dict[str, Any], tree: yaml.Node | None, where: str) -> Settings:
    _check_environment()
    try:
        return Settings(**values)
    except ValidationError as error:
        found = (_sentence(detail, tree, where) for detail in error.errors())
        raise ConfigError("\n".join(dict.fromkeys(found))) from error


def _doubled(node: yaml.Node | None, where: str) -> Iterator[str]:
    """Name keys that stand twice in one place: YAML would take the last one, silently."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"{where}, line {key.start_mark.line + 1}: {key.value} is there twice"
            seen.add(key.value)
            yield from _doubled(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _doubled(item, where)


def _no_yaml(error: yaml.YAMLError, where: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{where}, line {error.problem_mark.line + 1} is no YAML: {error.problem}"
    return f"{where} is no YAML: {' '.join(str(error).split())}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the config file {path} is not UTF-8 text") from error


def _sentence(detail: ErrorDetails, tree: yaml.Node | None, where: str) -> str:
    location = tuple(part for part in detail["loc"] if not _is_union_label(part))
    key = ".".join(str(part) for part in location)
    missing = detail["type"] == "missing"
    line = _line(tree, location[:-1] if missing else location)
    place = f"{where}, line {line}" if line else _variable(location)
    if detail["type"] == "extra_forbidden":
        near = _nearest(location)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"{place}: there is no key {key!r}{hint}"
    if missing:
        return f"{place}: {key} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if not message[:2].isupper():
        message = f"{message[0].lower()}{message[1:]}"
    if not location:  # it is about how several keys go together
        return f"{where}: {message}"
    if "users" in location:
        message = _NO_HASH
    if isinstance(detail["input"], dict | list) or not _SECRETS.isdisjoint(location):
        return f"{place}: {key}: {message}"  # the line says where it is
    return f"{place}: {key}: {message} (it is {repr(detail['input'])[:60]})"


def _is_union_label(part: int | str) -> bool:
    """Pydantic names the branch of a union in its locations; nobody wrote that."""
    return isinstance(part, str) and (
        "[" in part or part.startswith(("constrained-", "int", "float"))
    )


def _line(tree: yaml.Node | None, location: tuple[int | str, ...]) -> int | None:
    node, line = tree, None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                return None
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return None
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _variable(location: tuple[int | str, ...]) -> str:
    name = _PREFIX + "__".join(str(part) for part in location).upper()
    return f"environment variable {name}"


def _nearest(location: tuple[int | str, ...]) -> str | None:
    """The known key that looks most like the unknown one, at its own level or at any other."""
    model: Any = Settings
    for part in location[:-1]:
        model = _child(model, part)
        if model is None:
            return None
    elsewhere = {path.rsplit(".", 1)[-1]: path for path in _paths(Settings)}
    if location[-1] in elsewhere:
        return elsewhere[str(location[-1])]
    own = difflib.get_close_matches(str(location[-1]), list(model.model_fields), n=1)
    if own:
        return ".".join([*(str(part) for part in location[:-1]), own[0]])
    other = difflib.get_close_matches(str(location[-1]), list(elsewhere), n=1, cutoff=0.8)
    return elsewhere[other[0]] if other else None


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
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        inner = _model_in(field.annotation)
        if inner is not None:
            found += _paths(inner, f"{prefix}{name}.")
    return found


def _check_environment() -> None:
    """`RASNODE_DICM__PORT` would be passed over in silence; say so instead."""
    known = list(Settings.model_fields)
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and "__" in name:
            section = name.removeprefix(_PREFIX).split("__")[0].lower()
            if section not in known:
                near = difflib.get_close_matches(section, known, n=1)
                hint = f"; did you mean {_PREFIX}{near[0].upper()}__…?" if near else ""
                raise ConfigError(
                    f"environment variable {name}: there is no section {section!r}{hint}"
                )
