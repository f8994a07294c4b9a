"""The environment variables `RASNODE_…`: which settings they state, and which cannot be read."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from node.core.settings.contradictions import Location
from node.core.settings.model import Settings
from node.core.settings.origins import PREFIX
from node.core.settings.validation import Mistake
from node.core.system import interpreters


class _Names(Settings, BaseSettings):
    """The settings by the names of their variables; never instantiated."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


class _Source(EnvSettingsSource):
    """Reads variables that may state `null`, as the YAML file can."""

    def prepare_field_value(
        self, field_name: str, field: Any, value: Any, value_is_complex: bool
    ) -> Any:
        prepared = super().prepare_field_value(field_name, field, value, value_is_complex)
        return _with_nulls(prepared)


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    return None if isinstance(value, str) and value.lower() == "null" else value


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values of two sources.

    Args:
        below: values of the source that counts less.
        above: values of the source that counts more.

    Examples:
        >>> merged({"dicom": {"port": 104, "host": "::"}}, {"dicom": {"port": 11112}})
        {'dicom': {'port': 11112, 'host': '::'}}
    """
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        found[key] = merged(under, value) if both else value  # type: ignore[arg-type]
    return found


def read_environment(
    variables: Mapping[Location, str],
) -> tuple[Mapping[str, Any], dict[str, Mistake]]:
    """Read the settings that the environment states.

    Args:
        variables: names of variables, by the key that each sets.

    Returns:
        the values, and a mistake for each variable that cannot be read.
    """
    values: dict[str, Any] = {}
    unreadable = {}
    for name in variables.values():
        source = _Source(_Names)
        source.env_vars = {name.lower(): interpreters.variables()[name]}
        try:
            values = merged(values, source())
        except SettingsError:
            unreadable[name] = Mistake(0, f"environment variable {name}: it is not JSON")
    return values, unreadable


def unknown_variables() -> Iterator[Mistake]:
    """Yield a mistake for each variable of an unknown section, such as `RASNODE_DICM__PORT`."""
    known = list(Settings.model_fields)
    for name in sorted(interpreters.variables()):
        if name.startswith(PREFIX) and "__" in name:
            section = name.removeprefix(PREFIX).split("__")[0].lower()
            if section not in known:
                near = difflib.get_close_matches(section, known, n=1)
                hint = f"; did you mean {PREFIX}{near[0].upper()}__…?" if near else ""
                yield Mistake(
                    0, f"environment variable {name}: there is no section {section!r}{hint}"
                )
