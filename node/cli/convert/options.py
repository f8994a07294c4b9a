"""The options of `convert`: the command line over a file of defaults, all checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from node.convert import OutputOptions
from node.core.errors import ConfigError
from node.core.settings.convert import ConvertSettings, taking
from node.core.settings.file import load_convert_settings, load_defaults

HIGHEST_LEVEL: Final = 3
"""isal has four levels; from the third on they compress about as zlib's middle ones do."""
_LEVELS: Final = tuple(f"level_{level}" for level in range(1, 10))
_NIFTI_ALONE = (
    "is not available: rasnode writes only NIfTI; convert the NIfTI, for example with nibabel"
)
_KEPT = "is not available: rasnode stores integers as the scanner did, which is o"
_NO_CROP = "is not available: rasnode keeps all measured voxels; use n"
_ALWAYS_RAS = "i is not available: every volume is written in RAS order; use n"
_NO_RENAME = (
    "y is not available: rasnode does not rename DICOM files; `rasnode import` archives copies by "
    "study and series"
)
_NO_FILE = (
    "is not available: write the defaults into the convert section of config.yaml, or into a "
    "file for --defaults"
)
_LITTLE_ENDIAN = (
    "y is not available: rasnode writes little-endian files, which every NIfTI reader accepts"
)
_NO_SLICER = "y is not available: rasnode does not report progress to Slicer; its bar is on stderr"
_REFUSED_FLAGS: Final = {
    "bids_root": "-br belongs to -f %H, which is not available: name the files of the dataset "
    "with -f, such as -f sub-%i/anat/sub-%i_T1w",
    "up_to_date": "-u is not available: rasnode does not look for new versions; use "
    "`pip index versions rasnode`",
    "terse": "--terse is not available: without suffixes the volumes of one series would all "
    "have the same name; choose names with -f",
    "xml": "--xml is not available: rasnode is not a Slicer module; "
    "`rasnode convert --help` lists the options",
}


class Letters(ConvertSettings):
    """The options of one run: those that a file may give defaults for, and the others."""

    adjacent: Annotated[str, taking("y", "n")] = "n"
    big_endian: Annotated[str, taking("n", "o", refused={"y": _LITTLE_ENDIAN})] = "o"
    crop: Annotated[str, taking("n", refused={"y": f"y {_NO_CROP}", "i": _ALWAYS_RAS})] = "n"
    export: Annotated[
        str, taking("n", refused={one: f"{one} {_NIFTI_ALONE}" for one in "yojb"})
    ] = "n"
    generate: Annotated[
        str, taking("n", "i", refused={one: f"{one} {_NO_FILE}" for one in "yo"})
    ] = "n"
    lossless_scale: Annotated[str, taking("o", refused={one: f"{one} {_KEPT}" for one in "yn"})] = (
        "o"
    )
    progress: Annotated[str, taking("n", refused={"y": _NO_SLICER})] = "n"
    rename: Annotated[str, taking("n", refused={"y": _NO_RENAME})] = "n"
    search: Annotated[str, taking("n", "y", "l")] = "n"
    single: Annotated[str, taking("y", "n")] = "n"

    def output(self) -> OutputOptions:
        """Which files are written, and what they contain."""
        return OutputOptions(
            compress=self.compress != "n",
            level=min(self.level, HIGHEST_LEVEL),
            image=self.sidecar != "o",
            sidecar=self.sidecar != "n",
            identifiers=self.anonymize == "n",
            dates=self.anonymize == "o",
            precise=self.precise == "y",
            comment=self.comment,
            merge=self.merge == "y",
            notes=self.text == "y",
            resample_tilt=self.resample_tilt,
            resample_unequal=self.resample_unequal,
            flat=self.ignore == "n",
            trigger_times=not self.ignore_trigger_times,
        )


def wanted(context: typer.Context) -> Letters:
    """The options of a run, checked before any file is read.

    Args:
        context: of the command; it knows which options were typed.

    Raises:
        ConfigError: a value is wrong, or the option is not available.
    """
    given = {
        name: value
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    for name, sentence in _REFUSED_FLAGS.items():
        if name in given:
            raise ConfigError(sentence)
    for level, name in enumerate(_LEVELS, 1):
        if name in given:
            given["level"] = level
    chosen = {name: value for name, value in given.items() if name in Letters.model_fields}
    letters = _checked(chosen, context)
    below = _below(given, ignored=letters.generate == "i")
    return _checked(below.model_dump() | chosen, context)


def _below(given: Mapping[str, Any], *, ignored: bool) -> ConvertSettings:
    """The defaults from --defaults, from --config or from ./config.yaml."""
    defaults, config = given.get("defaults"), given.get("config")
    if defaults is not None and config is not None:
        raise ConfigError("use either --defaults or --config, not both")
    if ignored:
        return ConvertSettings()
    if isinstance(defaults, Path):
        return load_defaults(defaults)
    return load_convert_settings(config)


def _checked(values: Mapping[str, Any], context: typer.Context) -> Letters:
    try:
        return Letters(**values)
    except ValidationError as error:
        detail = error.errors()[0]
        name = str(detail["loc"][0])
        message = detail["msg"].removeprefix("Value error, ").removesuffix(".")
        message = message.replace("Input should be", "it should be")
        refused = "not available" in message
        was = "" if refused or name == "filename" else f", not {str(detail['input'])[:40]!r}"
        raise ConfigError(f"{_option(name, context)}: {message}{was}") from error


def _option(name: str, context: typer.Context) -> str:
    """An option as people type it: -z, --compress."""
    found = next(one for one in context.command.params if one.name == name)
    return ", ".join(found.opts)
