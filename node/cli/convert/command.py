"""`convert`: its options, and the steps of a run."""

# ruff: noqa: ARG001  options are read from the context, which knows which of them were typed

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.convert.options import wanted
from node.cli.convert.report import Done, report, report_found
from node.cli.convert.run import Run, convert_all, read
from node.cli.output.terminal import say
from node.convert import InstanceSource, Series
from node.convert.naming.bids import begin_dataset
from node.convert.naming.siblings import dataset_root
from node.core.errors import ConfigError, NodeError
from node.core.settings.file import load_output_settings
from node.core.settings.model import Output
from node.core.version import VERSION


def _say_version(value: bool) -> None:
    if value:
        say(f"rasnode {VERSION}")
        raise typer.Exit


def convert(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="A DICOM file, or a folder that contains DICOM files."),
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="The folder for the results.")
    ] = None,
    filename: Annotated[
        str,
        typer.Option(
            "-f", "--filename", help="Template of the file names, with dcm2niix's % codes."
        ),
    ] = "%4s_%d",
    folder: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder for the results, like OUT.")
    ] = None,
    compress: Annotated[
        str, typer.Option("-z", "--compress", help="y, o or i: write .nii.gz; n: write .nii.")
    ] = "y",
    level: Annotated[
        str, typer.Option("--level", help="Compression level, 1 to 9; also -1 to -9.")
    ] = "1",
    level_1: Annotated[bool, typer.Option("-1", hidden=True)] = False,
    level_2: Annotated[bool, typer.Option("-2", hidden=True)] = False,
    level_3: Annotated[bool, typer.Option("-3", hidden=True)] = False,
    level_4: Annotated[bool, typer.Option("-4", hidden=True)] = False,
    level_5: Annotated[bool, typer.Option("-5", hidden=True)] = False,
    level_6: Annotated[bool, typer.Option("-6", hidden=True)] = False,
    level_7: Annotated[bool, typer.Option("-7", hidden=True)] = False,
    level_8: Annotated[bool, typer.Option("-8", hidden=True)] = False,
    level_9: Annotated[bool, typer.Option("-9", hidden=True)] = False,
    sidecar: Annotated[
        str,
        typer.Option(
            "-b",
            "--sidecar",
            help="y: with a JSON sidecar; n: without; o: the sidecar only, no image.",
        ),
    ] = "y",
    anonymize: Annotated[
        str,
        typer.Option(
            "-ba",
            "--anonymize",
            help="y: no identifiers in sidecars; n: all of them; o: dates only.",
        ),
    ] = "y",
    comment: Annotated[
        str, typer.Option("-c", "--comment", help="A comment for the NIfTI header.")
    ] = "",
    depth: Annotated[
        str, typer.Option("-d", "--depth", help="How many levels of folders to search, up to 99.")
    ] = "99",
    ignore: Annotated[
        str,
        typer.Option(
            "-i", "--ignore", help="y: skip derived, localizer and 2D images; o: keep localizers."
        ),
    ] = "n",
    merge: Annotated[
        str,
        typer.Option(
            "-m",
            "--merge",
            help="y: merge echoes, phases … of a series into one 4D image; n or 2: do not.",
        ),
    ] = "2",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "-n",
            "--series",
            help="Convert only this Series Instance UID or number. May be repeated.",
        ),
    ] = None,
    precise: Annotated[
        str,
        typer.Option(
            "-p", "--precise", help="y: Philips' precise scale; n: Philips' display scale."
        ),
    ] = "y",
    search: Annotated[
        str,
        typer.Option("-q", "--search", help="y: only count the DICOM files; l: list them, too."),
    ] = "n",
    single: Annotated[
        str,
        typer.Option(
            "-s", "--single", help="y: convert only the series that the file IN belongs to."
        ),
    ] = "n",
    text: Annotated[
        str,
        typer.Option(
            "-t", "--text", help="y: write a .txt with all fields, including identifiers."
        ),
    ] = "n",
    write_behavior: Annotated[
        str,
        typer.Option(
            "-w",
            "--write-behavior",
            help="If a file exists: 0 keep it, 1 overwrite it, 2 write under another name.",
        ),
    ] = "2",
    ignore_trigger_times: Annotated[
        bool,
        typer.Option(
            "--ignore-trigger-times/--no-ignore-trigger-times",
            "--ignore_trigger_times",
            help="Ignore trigger times.",
        ),
    ] = False,
    resample_tilt: Annotated[
        bool,
        typer.Option(
            "--resample-tilt/--no-resample-tilt", help="Resample tilted CT to a rectangular grid."
        ),
    ] = False,
    resample_unequal: Annotated[
        bool,
        typer.Option(
            "--resample-unequal/--no-resample-unequal",
            help="Interpolate slices to equal distances.",
        ),
    ] = False,
    defaults: Annotated[
        Path | None,
        typer.Option(
            "--defaults", help="A file with defaults for these options: YAML, or .dcm2nii.ini."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="A configuration file; its section convert has the defaults, and its "
            "output.rules name the volumes unless -f does.",
        ),
    ] = None,
    verbose: Annotated[
        str,
        typer.Option("-v", "--verbose", help="y: print affines; 2: print what was left out, too."),
    ] = "n",
    as_json: Annotated[bool, typer.Option("--json", help="Print a report as JSON.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    adjacent: Annotated[str, typer.Option("-a", "--adjacent", hidden=True)] = "n",
    export: Annotated[str, typer.Option("-e", "--export", hidden=True)] = "n",
    generate: Annotated[str, typer.Option("-g", "--generate", hidden=True)] = "n",
    lossless_scale: Annotated[str, typer.Option("-l", "--lossless-scale", hidden=True)] = "o",
    rename: Annotated[str, typer.Option("-r", "--rename", hidden=True)] = "n",
    crop: Annotated[str, typer.Option("-x", "--crop", hidden=True)] = "n",
    big_endian: Annotated[str, typer.Option("--big-endian", hidden=True)] = "o",
    progress: Annotated[str, typer.Option("--progress", hidden=True)] = "n",
    bids_root: Annotated[str | None, typer.Option("-br", "--bids-root", hidden=True)] = None,
    up_to_date: Annotated[bool, typer.Option("-u", "--up-to-date", hidden=True)] = False,
    terse: Annotated[bool, typer.Option("--terse", hidden=True)] = False,
    xml: Annotated[bool, typer.Option("--xml", hidden=True)] = False,
) -> None:
    """Convert DICOM files to NIfTI, without a node.

    The volumes are the same as those of a node, in RAS order. Options have the letters of
    dcm2niix; docs/differences-from-dcm2niix.md lists the differences.
    """
    letters = wanted(context)
    target = out or folder
    if target is None and letters.search == "n":
        raise ConfigError("name a folder for the results: rasnode convert IN OUT")
    if not source.exists():
        raise ConfigError(f"there is no file or folder {source}")
    everything, unreadable = read(source, letters.depth, single=letters.single == "y")
    found = [series for series in everything if _chosen(series, only)]
    if letters.search != "n" or target is None:
        report_found(found, unreadable, listed=letters.search == "l", as_json=as_json)
        return
    if letters.ignore != "n":
        found = [_without_derived(series, letters.ignore) for series in found]
    debug = bool(context.find_root().params.get("debug"))
    output = _ruled(context, config)
    options = letters.output()
    run = Run(source, target, letters.filename, options, letters.write_behavior, debug, output)
    results = convert_all(found, everything, run)
    try:
        for template in [letters.filename] if output is None else _names(results):
            begin_dataset(target / dataset_root(template), template)
    except OSError as error:
        raise NodeError(f"cannot write to {target}: {error.strerror}") from error
    report(results, unreadable, target, as_json=as_json, verbose=letters.verbose)


def _ruled(context: typer.Context, config: Path | None) -> Output | None:
    """The section `output` of a configuration that was named, if its rules name the volumes."""
    typed = getattr(context.get_parameter_source("filename"), "name", "") == "COMMANDLINE"
    if config is None or typed:
        return None
    output = load_output_settings(config)
    return output if output.rules else None


def _names(results: list[Done]) -> list[str]:
    return [product.stem for done in results for product in done.conversion.products]


def _chosen(series: Series, only: list[str] | None) -> bool:
    numbers = {str(one.header.series_number) for one in series.instances}
    return not only or series.uid in only or bool(numbers & set(only))


def _without_derived(series: Series, ignore: str) -> Series:
    unwanted = {"DERIVED", "LOCALIZER"} if ignore == "y" else {"DERIVED"}
    kept = tuple(one for one in series.instances if not _is_derived(one, unwanted))
    return series._replace(instances=kept)


def _is_derived(source: InstanceSource, unwanted: set[str]) -> bool:
    words = {word for frame in source.header.frames for word in frame.image_type}
    return bool(words & unwanted) or any(f.derived for f in source.header.frames)
