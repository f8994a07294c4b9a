"""`rasnode convert`: a folder of DICOM to NIfTI, without daemon and database."""

# ruff: noqa: ARG001  options are read from the context, which knows which of them were given

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.convert.options import wanted
from node.cli.convert.report import report, tell_found
from node.cli.convert.run import Run, convert_all, read
from node.cli.output.terminal import say
from node.convert import InstanceSource, Series
from node.convert.naming.bids import begin_dataset
from node.core.errors import ConfigError, NodeError
from node.core.version import VERSION


def _say_version(value: bool) -> None:
    if value:
        say(f"rasnode {VERSION}")
        raise typer.Exit


def convert(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="DICOM file or folder.")],
    out: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Folder for the results.")
    ] = None,
    filename: Annotated[
        str, typer.Option("-f", "--filename", help="Name template with dcm2niix's % codes.")
    ] = "%4s_%d",
    folder: Annotated[Path | None, typer.Option("-o", "--output", help="The same as OUT.")] = None,
    compress: Annotated[
        str, typer.Option("-z", "--compress", help="y, o or i: .nii.gz, n: .nii.")
    ] = "y",
    level: Annotated[
        str, typer.Option("--level", help="Compression, 1 to 9; also -1 to -9.")
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
        str, typer.Option("-b", "--sidecar", help="y, n, or o: sidecar only, no image.")
    ] = "y",
    anonymize: Annotated[
        str,
        typer.Option("-ba", "--anonymize", help="n: identifiers in sidecars too; o: only dates."),
    ] = "y",
    comment: Annotated[
        str, typer.Option("-c", "--comment", help="Text for the NIfTI header.")
    ] = "",
    depth: Annotated[str, typer.Option("-d", "--depth", help="Folders to go down, to 99.")] = "99",
    ignore: Annotated[
        str,
        typer.Option(
            "-i", "--ignore", help="y: no derived, localizer or 2D images; o: localizers stay."
        ),
    ] = "n",
    merge: Annotated[
        str,
        typer.Option(
            "-m", "--merge", help="y: echoes, phases … of a series in one 4D image; n and 2: apart."
        ),
    ] = "2",
    only: Annotated[
        list[str] | None,
        typer.Option("-n", "--series", help="Only this Series Instance UID or number."),
    ] = None,
    precise: Annotated[
        str, typer.Option("-p", "--precise", help="n: Philips' scale for display.")
    ] = "y",
    search: Annotated[
        str, typer.Option("-q", "--search", help="y: only count DICOM files; l: list them, too.")
    ] = "n",
    single: Annotated[
        str, typer.Option("-s", "--single", help="y: only the series of the file IN.")
    ] = "n",
    text: Annotated[
        str, typer.Option("-t", "--text", help="y: a .txt with all fields, identifiers too.")
    ] = "n",
    write_behavior: Annotated[
        str,
        typer.Option(
            "-w",
            "--write-behavior",
            help="Where a file exists: 0 leave it, 1 overwrite it, 2 take another name.",
        ),
    ] = "2",
    ignore_trigger_times: Annotated[
        bool,
        typer.Option(
            "--ignore-trigger-times/--no-ignore-trigger-times",
            "--ignore_trigger_times",
            help="As if there were none.",
        ),
    ] = False,
    resample_tilt: Annotated[
        bool,
        typer.Option(
            "--resample-tilt/--no-resample-tilt", help="Tilted CT on a grid at right angles."
        ),
    ] = False,
    resample_unequal: Annotated[
        bool,
        typer.Option(
            "--resample-unequal/--no-resample-unequal", help="Interpolate slices at unequal steps."
        ),
    ] = False,
    defaults: Annotated[
        Path | None,
        typer.Option("--defaults", help="Defaults of these options: YAML, or .dcm2nii.ini."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The same in a section convert; default ./config.yaml."),
    ] = None,
    verbose: Annotated[
        str, typer.Option("-v", "--verbose", help="y: affines; 2: what was left out, too.")
    ] = "n",
    as_json: Annotated[bool, typer.Option("--json", help="A report as JSON on stdout.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="The version.")
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
    """Convert DICOM files to RAS NIfTI volumes.

    docs/differences-from-dcm2niix.md has every letter of dcm2niix, and what it means here.
    """
    letters = wanted(context)
    target = out or folder
    if target is None and letters.search == "n":
        raise ConfigError("Say where the results go: rasnode convert IN OUT.")
    if not source.exists():
        raise ConfigError(f"There is no {source}.")
    everything, strangers = read(source, letters.depth, single=letters.single == "y")
    found = [series for series in everything if _chosen(series, only)]
    if letters.search != "n" or target is None:
        tell_found(found, strangers, listed=letters.search == "l", as_json=as_json)
        return
    if letters.ignore != "n":
        found = [_without_derived(series, letters.ignore) for series in found]
    debug = bool(context.find_root().params.get("debug"))
    run = Run(source, target, letters.filename, letters.output(), letters.write_behavior, debug)
    results = convert_all(found, everything, run)
    try:
        begin_dataset(target, letters.filename)
    except OSError as error:
        raise NodeError(f"Cannot write to {target}: {error.strerror}.") from error
    report(results, strangers, target, as_json=as_json, verbose=letters.verbose)


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
