"""The settings in effect as YAML, each value with its source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from node.core.settings.contradictions import Location
from node.core.settings.file import Configuration

_ENDLESS = 1 << 30  # columns: a value is never broken into lines
_HIDDEN: Final = "***"  # in place of a secret; too short to be one
_SECRETS: Final = frozenset({"users", "environment"})  # what is below these keys is not shown
_PASSWORD: Final = re.compile(r"(://[^:/@]*:)[^@]*(?=@)")
_PARAMETER: Final = re.compile(
    r"([?&][^=&]*(?:pass|pwd|secret|token|key|sig|auth)[^=&]*=)[^&#]*", re.IGNORECASE
)


def shown(configuration: Configuration) -> dict[str, Any]:
    """The settings without passwords and other secrets, as their print may get into tickets."""
    values = _without_secrets(configuration.settings.model_dump(mode="json"), secret=False)
    assert isinstance(values, dict)  # noqa: S101  as it went in
    return values


def _without_secrets(value: Any, *, secret: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_secrets(inner, secret=secret or key in _SECRETS)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(inner, secret=secret) for inner in value]
    if not isinstance(value, str) or not value:
        return value
    if secret:
        return _HIDDEN
    return _PARAMETER.sub(rf"\1{_HIDDEN}", _PASSWORD.sub(rf"\1{_HIDDEN}", value))


def annotated(configuration: Configuration) -> str:
    """The settings as YAML with their sources as comments.

    The text can be used as a configuration file once the hidden secrets are filled in.
    """
    values = shown(configuration)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=_ENDLESS)
    origins = dict(sources(configuration))
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    comments = {line: origins[".".join(map(str, location))] for location, line in _ends(tree)}
    lines = text.splitlines()
    widest = max((len(line) for line in lines if len(line) <= 60), default=0)
    annotated_lines = [
        f"{line:<{widest}}  # {comments[number]}" if number in comments else line
        for number, line in enumerate(lines)
    ]
    return "\n".join([f"# {configuration.origins.file}", *annotated_lines]) + "\n"


def sources(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Every key, written with dots, and the source of its value."""
    for location, value in _leaves(configuration.settings.model_dump(mode="json"), ()):
        yield ".".join(map(str, location)), _source(configuration, location, value)


def _source(configuration: Configuration, location: Location, value: Any) -> str:
    if location[-1] == "secret" and value is None:
        webhook = configuration.settings.deliver[int(location[1])].webhook
        if webhook is not None and webhook.secret_file is not None:
            return f"secret_file {webhook.secret_file}"
    return configuration.origins.of(location)


def _leaves(value: Any, location: Location) -> Iterator[tuple[Location, Any]]:
    if isinstance(value, dict) and (value or not location):
        for key, inner in value.items():
            yield from _leaves(inner, (*location, key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*location, number))
    else:
        yield location, value


def _ends(node: yaml.Node | None, location: Location = ()) -> Iterator[tuple[Location, int]]:
    """The location of every leaf, and the number of the line in which it ends."""
    if isinstance(node, yaml.MappingNode) and node.value:
        for key, value in node.value:
            yield from _ends(value, (*location, key.value))
    elif isinstance(node, yaml.SequenceNode) and node.value:
        for number, item in enumerate(node.value):
            yield from _ends(item, (*location, number))
    elif node is not None:
        yield location, node.end_mark.line
