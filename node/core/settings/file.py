"""Find and read the configuration file, and refuse it with all its mistakes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from node.core.errors import ConfigError
from node.core.settings.contradictions import Location
from node.core.settings.convert import ConvertSettings
from node.core.settings.dcm2nii_ini import is_ini, translated
from node.core.settings.environment import merged, read_environment, unknown_variables
from node.core.settings.model import Output, Settings
from node.core.settings.origins import Origins, variables_for
from node.core.settings.validation import Check, Mistake, mistakes_in

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
        settings: the settings.
        file: the configuration file; None if there are only defaults and the environment.
        origins: where each value comes from.
    """

    settings: Settings
    file: Path | None
    origins: Origins


def find_file(path: Path | None = None) -> Path | None:
    """Return the configuration file: that of `-c`, `./config.yaml` or `/etc/rasnode/config.yaml`.

    Args:
        path: the file of `-c`.

    Returns:
        the first file that exists; None if there is none, so that the built-in defaults count.

    Raises:
        ConfigError: this user may not see whether a file exists.
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
    """Return the effective settings.

    Args:
        path: the YAML file; None: as `find_file`.

    Raises:
        ConfigError: as `load_configuration`.
    """
    return load_configuration(path).settings


def load_configuration(path: Path | None = None, checks: Iterable[Check] = ()) -> Configuration:
    """Return the effective settings, and where each of them comes from.

    Args:
        path: the YAML file; None: as `find_file`.
        checks: further checks, which run even if other values are wrong.

    Raises:
        ConfigError: the file cannot be read, or it or the environment has mistakes; the text names
            each with its line.
    """
    file = find_file(path)
    values, tree, where = _parsed(file)
    origins = Origins(where, tree, variables_for(Settings.model_fields))

    def root_is_one_folder(settings: Settings) -> Iterator[tuple[Location, str]]:
        root = settings.storage.root
        if file == SYSTEM_FILE and not root.is_absolute():
            yield ("storage", "root"), _RELATIVE_ROOT.format(root)

    settings = _validated(values, origins, [*checks, root_is_one_folder])
    return Configuration(settings, file, origins)


def load_convert_settings(path: Path | None = None) -> ConvertSettings:
    """Return the `convert:` section, whatever is wrong in other sections.

    Args:
        path: the YAML file; None: as `find_file`, except a file that this user may not read.

    Raises:
        ConfigError: as `load_configuration`.
    """
    file = path
    if file is None:
        with suppress(ConfigError):  # the file of the service, for the service's user
            file = find_file()
    if path is None and file == SYSTEM_FILE and not os.access(SYSTEM_FILE, os.R_OK):
        file = None
    return _convert_section(*_parsed(file))


def load_output_settings(path: Path) -> Output:
    """Return the `output:` section of a file, whatever is wrong in other sections.

    Args:
        path: the YAML file.

    Raises:
        ConfigError: as `load_configuration`.
    """
    values, tree, where = _parsed(path)
    section = {name: value for name, value in values.items() if name == "output"}
    return _validated(section, Origins(where, tree, variables_for(Settings.model_fields))).output


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
    return _validated(section, Origins(where, tree, variables_for(Settings.model_fields))).convert


def _validated(
    values: Mapping[str, Any], origins: Origins, checks: Iterable[Check] = ()
) -> Settings:
    """Return the settings of file and environment.

    Raises:
        ConfigError: names every mistake, in the order of lines; those outside the file come last.
    """
    mistakes = [*_doubled(origins.tree, origins.file), *unknown_variables()]
    stated, unreadable = read_environment(origins.variables)
    mistakes += unreadable.values()
    readable = {k: name for k, name in origins.variables.items() if name not in unreadable}
    origins = replace(origins, variables=readable)
    effective = merged(values, stated)
    mistakes += mistakes_in(effective, origins, checks)
    if mistakes:
        mistakes.sort(key=lambda mistake: mistake.line or float("inf"))
        raise ConfigError("\n".join(dict.fromkeys(mistake.sentence for mistake in mistakes)))
    return Settings.model_validate(effective)


def _parsed(
    path: Path | None, text: str | None = None
) -> tuple[dict[str, Any], yaml.Node | None, str]:
    """Return the values of a file, its YAML tree, and its name in messages."""
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
    """Yield keys that occur twice in one place, of which YAML would silently take the last."""
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
        return f"{where}, line {error.problem_mark.line + 1} is not YAML: {error.problem}"
    return f"{where} is not YAML: {' '.join(str(error).split())}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the config file {path} is not UTF-8 text") from error
