"""Finding the configuration file, reading it, and refusing it with all that is wrong in it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import SettingsError

from node.core.errors import ConfigError
from node.core.settings.contradictions import Location
from node.core.settings.convert import ConvertSettings
from node.core.settings.dcm2nii_ini import is_ini, translated
from node.core.settings.model import NullableEnv, Settings
from node.core.settings.origins import PREFIX, Origins, variables_for
from node.core.settings.validation import Check, Mistake, mistakes_in
from node.core.system import interpreters

LOCAL_FILE = Path("config.yaml")
SYSTEM_FILE = Path("/etc/rasnode/config.yaml")
_RELATIVE_ROOT = (
    "storage.root {} is relative, and so another folder for each folder that a command is started "
    "in; give the whole path, such as /var/lib/rasnode"
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in effect.

    Attributes:
        file: where they were read from; None: only defaults and the environment.
        origins: where each value comes from.
    """

    settings: Settings
    file: Path | None
    origins: Origins


def find_file(path: Path | None = None) -> Path | None:
    """The configuration file: what `-c` says, `./config.yaml`, `/etc/rasnode/config.yaml`.

    Args:
        path: what `-c` says.

    Returns:
        the first that there is; None: there is none, and the built-in defaults count.

    Raises:
        ConfigError: one may be there, and this user may not look.
    """
    if path is not None:
        return path
    for candidate in (LOCAL_FILE, SYSTEM_FILE):
        try:
            if candidate.exists():
                return candidate
        except OSError as error:
            raise ConfigError(
                f"cannot read the config file {candidate}: {error.strerror}; run the command as "
                "the node's user (sudo -u rasnode), or name another file with -c"
            ) from error
    return None


def load_settings(path: Path | None = None) -> Settings:
    """The effective settings.

    Args:
        path: the YAML file; None: as `find_file`.

    Raises:
        ConfigError: as `load_configuration`.
    """
    return load_configuration(path).settings


def load_configuration(path: Path | None = None, checks: Iterable[Check] = ()) -> Configuration:
    """The effective settings, and where each of them comes from.

    Args:
        path: the YAML file; None: as `find_file`.
        checks: what else has to be right; tried even if other things are wrong.

    Raises:
        ConfigError: the file cannot be read, or something in it or in the environment is wrong;
            the text names every mistake with its line.
    """
    file = find_file(path)
    values, tree, where = _parsed(file)
    origins = Origins(where, tree, variables_for(Settings.model_fields))

    def root_is_one_folder(settings: Settings) -> Iterator[tuple[Location, str]]:
        root = settings.storage.root
        if file == SYSTEM_FILE and not root.is_absolute():
            yield ("storage", "root"), _RELATIVE_ROOT.format(root)

    _refuse(values, origins, [*checks, root_is_one_folder])
    return Configuration(Settings(**values), file, origins)


def load_convert_settings(path: Path | None = None) -> ConvertSettings:
    """The `convert:` section alone, so that mistakes elsewhere do not stop `rasnode convert`.

    Args:
        path: the YAML file; None: as `find_file`, but one that this user may not read is left out.

    Raises:
        ConfigError: as `load_configuration`.
    """
    file = path
    if file is None:
        with suppress(ConfigError):  # the service's file, which is for the service's user
            file = find_file()
    if path is None and file == SYSTEM_FILE and not os.access(SYSTEM_FILE, os.R_OK):
        file = None
    return _convert_section(*_parsed(file))


def load_defaults(path: Path) -> ConvertSettings:
    """Read a file of defaults: the keys of `convert:`, or dcm2niix's `.dcm2nii.ini`.

    Raises:
        ConfigError: as `load_configuration`.
    """
    text = _read(path)
    values, tree, where = _parsed(path, translated(text, str(path)) if is_ini(text) else text)
    if tree is not None:
        name = yaml.ScalarNode("tag:yaml.org,2002:str", "convert", tree.start_mark)
        tree = yaml.MappingNode("tag:yaml.org,2002:map", [(name, tree)], tree.start_mark)
    try:
        return _convert_section({"convert": values}, tree, where)
    except ConfigError as error:
        raise ConfigError(str(error).replace("convert.", "")) from error


def _convert_section(
    values: Mapping[str, Any], tree: yaml.Node | None, where: str
) -> ConvertSettings:
    section = {name: value for name, value in values.items() if name == "convert"}
    _refuse(section, Origins(where, tree, variables_for(Settings.model_fields)))
    return Settings(**section).convert


def _refuse(values: Mapping[str, Any], origins: Origins, checks: Iterable[Check] = ()) -> None:
    """Say everything that is wrong, in the order of the lines; what is not in the file last.

    Raises:
        ConfigError: something is.
    """
    mistakes = [*_doubled(origins.tree, origins.file), *_unknown_variables()]
    said, unreadable = _environment(origins.variables)
    mistakes += unreadable.values()
    readable = {k: name for k, name in origins.variables.items() if name not in unreadable}
    origins = replace(origins, variables=readable)
    mistakes += mistakes_in(_merged(values, said), origins, checks)
    if mistakes:
        mistakes.sort(key=lambda mistake: mistake.line or float("inf"))
        raise ConfigError("\n".join(dict.fromkeys(mistake.sentence for mistake in mistakes)))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged


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
    return {str(key): value for key, value in values.items()}, tree, where


def _doubled(node: yaml.Node | None, where: str) -> Iterator[Mistake]:
    """Name keys that stand twice in one place: YAML would take the last one, silently."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                yield Mistake(line, f"{where}, line {line}: {key.value} is there twice")
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


def _unknown_variables() -> Iterator[Mistake]:
    """`RASNODE_DICM__PORT` would be passed over in silence; say so instead."""
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


def _environment(
    variables: Mapping[Location, str],
) -> tuple[Mapping[str, Any], dict[str, Mistake]]:
    """What the environment says, and which variables cannot be read."""
    said: dict[str, Any] = {}
    unreadable = {}
    for name in variables.values():
        source = NullableEnv(Settings)
        source.env_vars = {name.lower(): interpreters.variables()[name]}
        try:
            said = _merged(said, source())
        except SettingsError:
            unreadable[name] = Mistake(0, f"environment variable {name}: it is no JSON")
    return said, unreadable
