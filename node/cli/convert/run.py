"""The work of `convert`: read the files, convert series by series, put the results in place."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from node.assemble.series import VolumePlan
from node.assemble.sidecar.sidecar import leading
from node.assemble.study_and_patient import contradiction
from node.cli.convert.report import Done
from node.cli.output.tables import Console
from node.convert import (
    Conversion,
    InstanceSource,
    OutputOptions,
    Product,
    Series,
    Unreadable,
    convert_series,
    read_folder,
)
from node.convert.folder import files_below
from node.convert.naming.dcm2niix import name_after
from node.convert.naming.of_folder import namings
from node.convert.naming.rules import Naming
from node.convert.naming.unique import FileNames
from node.core.errors import AssemblyError, ConfigError, Reason, TooLittleMemory, unforeseen
from node.core.output_names import folded
from node.core.settings.model import Output

LEAVE, OVERWRITE, RENAME = "0", "1", "2"
"""What to do if a file exists, by dcm2niix's numbers."""


class Run(NamedTuple):
    """How one run converts.

    Attributes:
        source, target: the file or folder to convert, and the folder for the results.
        template: of file names.
        options: which files are written, and what they contain.
        conflicts: LEAVE, OVERWRITE or RENAME.
        debug: print the traceback of an unforeseen error.
        output: whose rules name the volumes, instead of the template; None: the template does.
    """

    source: Path
    target: Path
    template: str
    options: OutputOptions
    conflicts: str = RENAME
    debug: bool = False
    output: Output | None = None


def read(source: Path, depth: int, *, single: bool) -> tuple[list[Series], list[Unreadable]]:
    """Read the headers of the files to convert.

    Args:
        source: file or folder.
        depth: how many levels of folders to search.
        single: read only the series of the file `source`, with its other files in that folder.

    Returns:
        The series, and the files that are not DICOM images.
    """
    base = len(source.parts) + 1
    paths = source.parent if single and source.is_file() else source
    files = [path for path in files_below([paths]) if len(path.parts) - base <= depth]
    with _progress() as progress:
        task = progress.add_task("reading", total=len(files))
        found, unreadable = read_folder(files, lambda: progress.advance(task), forgiving=True)
    if single and source.is_file():
        found = [series for series in found if any(one.path == source for one in series.instances)]
    return found, unreadable


def convert_all(found: list[Series], everything: list[Series], run: Run) -> list[Done]:
    """Convert series by series; an error in one series does not stop the others.

    Args:
        found: the series to convert.
        everything: all series that labels may refer to.
        run: source, target and options.

    Raises:
        ConfigError: the target folder cannot be written.
    """
    results: list[Done] = []
    by_uid: dict[str, list[Series]] = {}
    for one in everything:
        by_uid.setdefault(one.uid, []).append(one)
    with _progress() as progress, _staging(run.target) as staging:
        task = progress.add_task("converting", total=len(found))
        there = _Existing(run.target)
        names = FileNames(there if run.conflicts == RENAME else _nothing)
        kept = there if run.conflicts == LEAVE else _nothing
        ruled = _by_rules(found, run)
        for series in found:
            try:
                conversion = _one(series, by_uid, staging, run, names, ruled.get(id(series)))
                results.append(_placed(series, conversion, staging, run.target, kept))
            except TooLittleMemory as error:
                refusal = AssemblyError(Reason.UNSUPPORTED_PIXELS, f"{error}; try again later.")
                results.append(Done(series, Conversion(refusals=(refusal,))))
            except Exception as error:  # noqa: BLE001  whatever it is, the others are converted
                if run.debug:
                    traceback.print_exception(error)
                refusal = AssemblyError(Reason.INTERNAL_ERROR, unforeseen(error))
                results.append(Done(series, Conversion(refusals=(refusal,))))
            progress.advance(task)
    return results


def _one(
    series: Series,
    by_uid: dict[str, list[Series]],
    staging: Path,
    run: Run,
    names: FileNames,
    ruled: Naming | None,
) -> Conversion:
    def stem(volume: VolumePlan) -> str:
        path = paths[leading(volume).header.identity]
        return names.stem(name_after(run.template, volume, path, folder), series.uid)

    folder = run.source.absolute() if run.source.is_dir() else None
    paths = {one.header.identity: one.path for one in series.instances}
    referred = {uid for one in series.instances for uid in one.header.references}
    references = [one for uid in sorted(referred) for one in _meant(series, by_uid.get(uid, []))]
    return convert_series(
        series.instances, staging, ruled or stem, run.options, references=references, names=names
    )


def _by_rules(found: list[Series], run: Run) -> dict[int, Naming]:
    """What names each series by the rules of a configuration; empty without rules."""
    if run.output is None:
        return {}
    rules = [one.rule() for one in run.output.rules]
    instances = [series.instances for series in found]
    made = namings(instances, rules, run.output.name, run.options, dates=run.output.identifiers)
    return {id(series): naming for series, naming in zip(found, made, strict=True)}


def _meant(series: Series, named: list[Series]) -> tuple[InstanceSource, ...]:
    """The instances of a series that another series refers to; none if several have its UID."""
    if len(named) > 1:
        named = [
            one
            for one in named
            if contradiction([series.instances[0].header, one.instances[0].header]) is None
        ]
    return named[0].instances if len(named) == 1 else ()


def _placed(
    series: Series,
    conversion: Conversion,
    staging: Path,
    target: Path,
    kept: Callable[[str], bool],
) -> Done:
    """Move finished files into the folder; a volume whose files exist and are kept is dropped."""
    skipped: list[Product] = []
    for product in conversion.products:
        if any(kept(folded(file)) for file in product.files):
            skipped.append(product)
            continue
        for file in product.files:
            final = target / file
            final.parent.mkdir(parents=True, exist_ok=True)
            (staging / file).replace(final)
    return Done(series, conversion, tuple(skipped))


class _Existing:
    """The names that exist in a folder already, compared as file systems compare them."""

    def __init__(self, target: Path) -> None:
        self._known = {"": _inside([target])}

    def __call__(self, name: str) -> bool:
        """Whether a file or folder of this name exists; the name is folded."""
        folder, _, last = name.rpartition("/")
        return last in self._entries(folder)

    def _entries(self, folder: str) -> dict[str, list[Path]]:
        if folder not in self._known:
            above, _, name = folder.rpartition("/")
            self._known[folder] = _inside(self._entries(above).get(name, []))
        return self._known[folder]


def _inside(folders: list[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            found.setdefault(folded(path.name), []).append(path)
    return found


def _nothing(_: str) -> bool:
    return False


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder beside the results: each file appears there only when it is complete."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".rasnode-", dir=target))
    except OSError as error:
        raise ConfigError(f"cannot write to {target}: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
