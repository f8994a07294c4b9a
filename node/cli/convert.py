"""`rasnode convert`: a folder of DICOM to NIfTI, without daemon and database."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from node.assemble.series import VolumePlan
from node.convert import (
    Conversion,
    InstanceSource,
    OutputOptions,
    Series,
    Unreadable,
    convert_series,
    read_folder,
)
from node.convert.bids import begin_dataset, repeated
from node.convert.folder import files_below
from node.convert.names import check_template, name_after
from node.errors import ConfigError, NodeError, Reason

DEFAULT_NAME = "%4s_%d"
HIGHEST_LEVEL = 3
"""isal has four levels; from the third on they compress about as zlib's middle ones do."""


def _yes(value: str, option: str, also: str = "") -> bool:
    if value.lower() not in {"y", "n", *also}:
        raise ConfigError(f"{option} takes {', '.join(['y', 'n', *also])}, not {value!r}.")
    return value.lower() != "n"


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="DICOM file or folder.")],
    out: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Folder for the results.")
    ] = None,
    name: Annotated[
        str, typer.Option("-f", "--filename", help="Name template with dcm2niix's % codes.")
    ] = DEFAULT_NAME,
    folder: Annotated[Path | None, typer.Option("-o", "--output", help="The same as OUT.")] = None,
    compress: Annotated[str, typer.Option("-z", "--compress", help="y: .nii.gz, n: .nii.")] = "y",
    level: Annotated[
        int, typer.Option("--level", help="Compression, 1 to 9; also -1 to -9.", min=1, max=9)
    ] = 1,
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
    anonymous: Annotated[
        str, typer.Option("-ba", "--anonymize", help="n: identifiers in sidecars too.")
    ] = "y",
    comment: Annotated[
        str, typer.Option("-c", "--comment", help="Text for the NIfTI header.")
    ] = "",
    depth: Annotated[
        int, typer.Option("-d", "--depth", help="Folders to go down.", min=0, max=99)
    ] = 99,
    ignore: Annotated[
        str, typer.Option("-i", "--ignore", help="y: no derived, localizer or 2D images.")
    ] = "n",
    merge: Annotated[
        str, typer.Option("-m", "--merge", help="y: echoes, phases … of a series in one 4D image.")
    ] = "n",
    only: Annotated[
        list[str] | None,
        typer.Option("-n", "--series", help="Only this Series Instance UID or number."),
    ] = None,
    precise: Annotated[
        str, typer.Option("-p", "--precise", help="n: Philips' scale for display.")
    ] = "y",
    single: Annotated[
        str, typer.Option("-s", "--single", help="y: only the series of the file IN.")
    ] = "n",
    notes: Annotated[
        str, typer.Option("-t", "--text", help="y: a .txt with all fields, identifiers too.")
    ] = "n",
    crop: Annotated[
        str, typer.Option("-x", "--crop", help="n; rasnode never cuts measured voxels away.")
    ] = "n",
    resample_tilt: Annotated[
        bool, typer.Option("--resample-tilt", help="Tilted CT on a grid at right angles.")
    ] = False,
    resample_unequal: Annotated[
        bool, typer.Option("--resample-unequal", help="Interpolate slices at unequal steps.")
    ] = False,
    verbose: Annotated[str, typer.Option("-v", "--verbose", help="y or n.")] = "n",
    as_json: Annotated[bool, typer.Option("--json", help="A report as JSON on stdout.")] = False,
) -> None:
    """Convert DICOM files to RAS NIfTI volumes."""
    target = out or folder
    if target is None:
        raise ConfigError("Say where the results go: rasnode convert IN OUT.")
    if not source.exists():
        raise ConfigError(f"There is no {source}.")
    check_template(name)
    if _yes(crop, "-x"):
        raise ConfigError("rasnode never cuts measured voxels away: leave -x y out.")
    short = (level_1, level_2, level_3, level_4, level_5, level_6, level_7, level_8, level_9)
    options = OutputOptions(
        compress=_yes(compress, "-z"),
        level=min(short.index(True) + 1 if True in short else level, HIGHEST_LEVEL),
        image=sidecar.lower() != "o",
        sidecar=_yes(sidecar, "-b", "o"),
        identifiers=not _yes(anonymous, "-ba"),
        precise=_yes(precise, "-p"),
        comment=comment,
        merge=_yes(merge, "-m"),
        notes=_yes(notes, "-t"),
        resample_tilt=resample_tilt,
        resample_unequal=resample_unequal,
    )
    everything, strangers = _read(source, depth, single=_yes(single, "-s"))
    found = [series for series in everything if _chosen(series, only)]
    if _yes(ignore, "-i"):
        found = [_without_derived(series) for series in found]
    results = _convert(found, everything, target, name, options)
    begin_dataset(target, name)
    _report(results, strangers, target, as_json=as_json, verbose=_yes(verbose, "-v"))


def _read(source: Path, depth: int, *, single: bool) -> tuple[list[Series], list[Unreadable]]:
    base = len(source.parts) + 1
    paths = source.parent if single and source.is_file() else source
    files = [path for path in files_below([paths]) if len(path.parts) - base <= depth]
    with _progress() as progress:
        task = progress.add_task("reading", total=len(files))
        found, strangers = read_folder(files, lambda: progress.advance(task))
    if single and source.is_file():
        found = [series for series in found if any(one.path == source for one in series.instances)]
    return found, strangers


def _chosen(series: Series, only: list[str] | None) -> bool:
    numbers = {str(one.header.series_number) for one in series.instances}
    return not only or series.uid in only or bool(numbers & set(only))


def _without_derived(series: Series) -> Series:
    kept = tuple(one for one in series.instances if not _is_derived(one))
    return series._replace(instances=kept)


def _is_derived(source: InstanceSource) -> bool:
    words = {word for frame in source.header.frames for word in frame.image_type}
    return bool(words & {"DERIVED", "LOCALIZER"}) or any(f.derived for f in source.header.frames)


def _convert(
    found: list[Series],
    everything: list[Series],
    target: Path,
    template: str,
    options: OutputOptions,
) -> list[tuple[Series, Conversion]]:
    results: list[tuple[Series, Conversion]] = []
    instances = {series.uid: series.instances for series in everything}
    owners: dict[str, str] = {}
    with _progress() as progress, _staging(target) as staging:
        task = progress.add_task("converting", total=len(found))
        for series in found:
            conversion = _one(series, instances, staging, template, options, owners)
            for product in conversion.products:
                for file in product.files:
                    final = target / file
                    final.parent.mkdir(parents=True, exist_ok=True)
                    (staging / file).replace(final)
            results.append((series, conversion))
            progress.advance(task)
    return results


def _one(
    series: Series,
    instances: dict[str, tuple[InstanceSource, ...]],
    staging: Path,
    template: str,
    options: OutputOptions,
    owners: dict[str, str],
) -> Conversion:
    def stem(volume: VolumePlan) -> str:
        base = name_after(template, volume, paths[volume.first.header.identity])
        names = (repeated(base, times) for times in count())
        return next(name for name in names if owners.setdefault(name, series.uid) == series.uid)

    paths = {one.header.identity: one.path for one in series.instances}
    referred = {uid for one in series.instances for uid in one.header.references}
    references = [one for uid in sorted(referred) for one in instances.get(uid, ())]
    return convert_series(series.instances, staging, stem, options, references=references)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder beside the results, so that they appear whole."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".rasnode-", dir=target))
    except OSError as error:
        raise ConfigError(f"Cannot write to {target}: {error.strerror}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _report(
    results: list[tuple[Series, Conversion]],
    strangers: list[Unreadable],
    target: Path,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """Say what was written and what was not.

    Raises:
        NodeError: nothing was written, or an image was refused.
    """
    if as_json:
        typer.echo(json.dumps(_as_dict(results, strangers, target), indent=1))
    else:
        _tell(results, strangers, target, verbose=verbose)
    written = sum(len(conversion.products) for _, conversion in results)
    refused = [
        error
        for _, conversion in results
        for error in conversion.refusals
        if error.reason is not Reason.NOT_AN_IMAGE
    ]
    if refused:
        raise NodeError(f"{written} volumes written, {len(refused)} refused.")
    if not written:
        raise NodeError("There is nothing in it that could be made into a volume.")


def _tell(
    results: list[tuple[Series, Conversion]],
    strangers: list[Unreadable],
    target: Path,
    *,
    verbose: bool,
) -> None:
    for series, conversion in results:
        for product in conversion.products:
            size = "x".join(map(str, product.shape))
            typer.echo(f"{target / product.files[0]}  {size}")
            if verbose:
                for row in product.affine:
                    typer.echo("    " + " ".join(f"{value:12.5f}" for value in row))
        for error in conversion.refusals:
            typer.echo(f"not a volume: {series.uid}: {error.reason}: {error.sentence}", err=True)
    for path, reason in strangers:
        typer.echo(f"not read: {path}: {reason}", err=True)
    if strangers:
        typer.echo(f"{len(strangers)} files are no DICOM images.", err=True)


def _as_dict(
    results: list[tuple[Series, Conversion]], strangers: list[Unreadable], target: Path
) -> dict[str, Any]:
    return {
        "series": [
            {
                "series_instance_uid": series.uid,
                "instances": len(series.instances),
                "volumes": [
                    {
                        "files": [str(target / file) for file in product.files],
                        "shape": list(product.shape),
                        "affine": [list(row) for row in product.affine],
                        "sha256": product.sha256,
                    }
                    for product in conversion.products
                ],
                "refused": [
                    {
                        "reason": str(error.reason),
                        "sentence": error.sentence,
                        "instances": list(error.instances),
                    }
                    for error in conversion.refusals
                ],
                "left_out": [
                    {"sop_instance_uid": one.sop_instance_uid, "reason": one.reason}
                    for one in conversion.left_out
                ],
            }
            for series, conversion in results
        ],
        "unreadable": [{"path": str(path), "reason": reason} for path, reason in strangers],
    }
