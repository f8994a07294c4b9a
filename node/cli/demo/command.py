"""`demo`: sends two phantom studies to a temporary node and checks the volumes."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from node.cli.context import let_settle
from node.cli.demo.phantom import Study, ct_study, mr_study
from node.cli.demo.phantom.comparison import TOLERANCE, largest_difference
from node.cli.demo.private_node import TITLE, PrivateNode, private_node
from node.cli.images.nifti_files import open_image
from node.core.errors import NodeError
from node.core.records import SeriesRecord, SeriesState
from node.dimse.scu.requests import send
from node.storage.index.engine import Index
from node.storage.index.series.work import Work

_POLL_SECONDS = 0.1
_NO_VOLUME = {SeriesState.NOT_A_VOLUME, SeriesState.FAILED, SeriesState.HELD}


class DemoFailed(NodeError):
    """The demo failed; the sentence says at which step."""


class _Sent(NamedTuple):
    study: Study
    at: float  # seconds since 1970, when the last image was taken


class _Made(NamedTuple):
    study: Study
    volume: Path
    verdict: str  # with its reason
    seconds: float  # from the last image to the volume


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="The folder for all files; default: a new temporary one."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the node and its page running until Ctrl-C.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How long to wait for the volumes.")
    ] = 120,
) -> None:
    """Send two phantom studies to a temporary node.

    An oblique CT and a 4D MR are sent with C-STORE over the loopback interface. The demo prints
    where their volumes are and compares every voxel with the phantom.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="rasnode-demo-"))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoFailed(f"cannot create the folder {place}: {error.strerror}") from error
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # like Ctrl-C, so that the node is stopped
    with private_node(place) as node:
        console.print(f"A temporary node listens on 127.0.0.1:{node.port}, AE title {TITLE}.")
        console.print(f"Its page is http://127.0.0.1:{node.page}/; its files are in {place}")
        for made in _send_and_wait(node, seconds):
            _show(console, made)
        if keep:
            console.print(
                f"\nOpen http://127.0.0.1:{node.page}/ in a browser. Ctrl-C ends the demo."
            )
            _wait_for_interrupt(node)
    console.print("\nThe temporary node has stopped; its files are kept. To run a node:   make run")


def _send_and_wait(node: PrivateNode, seconds: float) -> list[_Made]:
    now = datetime.now()  # noqa: DTZ005  DICOM times are the scanner's local time
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        sent = []
        for make in (ct_study, mr_study):
            study = make(now)
            task = progress.add_task(f"sending {study.name}", total=len(study.data_sets))
            _send(node, study, lambda task=task: progress.advance(task))  # type: ignore[misc]
            sent.append(_Sent(study, time.time()))
        task = progress.add_task("making volumes", total=len(sent))
        return _wait_for_volumes(node, sent, seconds, lambda: progress.advance(task))


def _send(node: PrivateNode, study: Study, taken: Callable[[], None]) -> None:
    images = list(study.data_sets)
    random.shuffle(images)  # the order of arrival must not matter
    contexts = {
        (str(image.SOPClassUID), str(image.file_meta.TransferSyntaxUID)) for image in images
    }
    send(node.destination("PHANTOM"), images, contexts, lambda _image: taken())


def _wait_for_volumes(
    node: PrivateNode, sent: list[_Sent], seconds: float, done: Callable[[], None]
) -> list[_Made]:
    """Wait until the index has every study's volume.

    Args:
        node: where the studies were sent.
        sent: the studies.
        seconds: how long to wait.
        done: called for each volume.

    Raises:
        DemoFailed: a study was refused, or there is no volume in time.
    """
    let_settle(node.root)
    index = Index(f"sqlite:///{node.root / 'index.db'}")
    deadline = time.monotonic() + seconds
    made: dict[str, _Made] = {}
    try:
        work = Work(index)
        while len(made) < len(sent):
            node.check_alive()
            for study, at in sent:
                if study.series_uid in made:
                    continue
                series = _ready(work.series(study.series_uid), study)
                if series is not None:
                    volume = _volume(series, study, node.root / "nifti")
                    verdict = series.verdict or {}
                    evidence = f"{verdict.get('verdict')}: {verdict.get('why')}"
                    made[study.series_uid] = _Made(
                        study, volume, evidence, volume.stat().st_mtime - at
                    )
                    done()
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"there is no volume after {seconds:g} s; the node's log is {node.log}"
                )
            time.sleep(_POLL_SECONDS)
    finally:
        index.close()
    return [made[study.series_uid] for study, _ in sent]


def _ready(series: SeriesRecord | None, study: Study) -> SeriesRecord | None:
    """The series once it has its volume."""
    if series is None:
        return None  # acknowledged, and not ingested yet
    if series.state in _NO_VOLUME:
        refusals = (series.verdict or {}).get("refusals") or [{}]
        why = refusals[0].get("sentence", "see rasnode status")
        raise DemoFailed(f"the {study.name} became {series.state}: {why}")
    return series if series.state is SeriesState.READY else None


def _volume(series: SeriesRecord, study: Study, outputs: Path) -> Path:
    found = [name for name in series.outputs if name.endswith((".nii.gz", ".nii"))]
    if len(found) != 1:
        raise DemoFailed(f"the {study.name} became {len(found)} volumes instead of one")
    return outputs / found[0]


def _show(console: Console, made: _Made) -> None:
    """Print where the volume is, and compare it with the phantom.

    Raises:
        DemoFailed: a file is missing, or a voxel does not have the phantom's value.
    """
    volume = open_image(made.volume).image
    stem = made.volume.name.removesuffix(".gz").removesuffix(".nii")
    size = " × ".join(str(count) for count in volume.shape if count > 1)
    console.print(
        f"\n[bold]{made.study.name}[/]: {len(made.study.data_sets)} images became {size} voxels "
        f"{max(0.0, made.seconds):.1f} s after the last one"
    )
    console.print(f"  verdict  {made.verdict}", markup=False)
    console.print(f"  volume   {made.volume}", markup=False)
    for name, ending in (("sidecar", ".json"), ("picture", ".png"), ("proof", ".manifest.json")):
        path = made.volume.with_name(stem + ending)
        if not path.is_file():
            raise DemoFailed(f"there is no file {path}")
        console.print(f"  {name:<8} {path}", markup=False)
    for number, row in enumerate(volume.affine[:3]):
        start = "  affine  " if number == 0 else " " * 10
        console.print(start + "".join(f"{value:11.4f}" for value in row), markup=False)
    difference = _difference(made.study, volume)
    if difference > TOLERANCE:
        raise DemoFailed(
            f"the {made.study.name} is wrong: a voxel differs by {difference:.1f} from the phantom"
        )
    console.print(
        f"  checked  every voxel has the phantom's value at its place in RAS (± {difference:.2f})"
    )


def _difference(study: Study, image: Any) -> float:
    values = image.get_fdata()
    values = values.reshape(*values.shape[:3], -1)
    return largest_difference(
        study, values.shape, image.affine, lambda k, time: values[:, :, k, time]
    )


def _wait_for_interrupt(node: PrivateNode) -> None:
    try:
        while True:
            node.check_alive()
            time.sleep(1)
    except KeyboardInterrupt:
        return
