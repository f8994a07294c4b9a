"""`demo`: a node of its own, two phantom studies sent over the network, and what came of them."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from node.cli.context import let_settle
from node.cli.demo.phantom import Study, ct_study, mr_study
from node.cli.demo.phantom.comparison import TOLERANCE, largest_difference
from node.cli.demo.private_node import TITLE, PrivateNode, private_node
from node.core.errors import NodeError
from node.core.records import SeriesRecord, SeriesState
from node.dimse.scu.requests import send
from node.storage.index.engine import Index
from node.storage.index.series.work import Work
from node.web.volumes import Volume, read_volume

_POLL_SECONDS = 0.1
_NO_VOLUME = {SeriesState.NOT_A_VOLUME, SeriesState.FAILED, SeriesState.HELD}


class DemoFailed(NodeError):
    """The demo did not get to its end; the sentence says where."""


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
        Path | None, typer.Option("--folder", help="Where to keep everything; default a new one.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the node running until Ctrl-C, for a look.")
    ] = False,
    seconds: Annotated[float, typer.Option("--seconds", help="Longest wait for volumes.")] = 120,
) -> None:
    """Send an oblique CT and a 4D MR phantom to a node of its own, and show the volumes."""
    place = folder or Path(tempfile.mkdtemp(prefix="rasnode-demo-"))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoFailed(f"cannot make {place}: {error.strerror}") from error
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the node must not stay
    with private_node(place) as node:
        console.print(f"A node of its own listens on 127.0.0.1:{node.port}, AE title {TITLE}.")
        console.print(f"Its page is http://127.0.0.1:{node.page}/; everything is in {place}")
        for made in _send_and_wait(node, seconds):
            _show(console, made)
        if keep:
            console.print(f"\nLook at http://127.0.0.1:{node.page}/ and end with Ctrl-C.")
            _wait_for_interrupt(node)
    console.print("\nThe demo's node has stopped; its files stay. A node that stays:   make run")


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
    """Wait until the index speaks of every study's volume.

    Raises:
        DemoFailed: one was refused, or it took too long.
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
                    said = f"{verdict.get('verdict')}: {verdict.get('why')}"
                    made[study.series_uid] = _Made(study, volume, said, volume.stat().st_mtime - at)
                    done()
            if time.monotonic() > deadline:
                raise DemoFailed(f"no volume within {seconds:g} s; the node's log is {node.log}")
            time.sleep(_POLL_SECONDS)
    finally:
        index.close()
    return [made[study.series_uid] for study, _ in sent]


def _ready(series: SeriesRecord | None, study: Study) -> SeriesRecord | None:
    """The series once it has its volume."""
    if series is None:
        return None  # it is answered, and not ingested yet
    if series.state in _NO_VOLUME:
        refusals = (series.verdict or {}).get("refusals") or [{}]
        why = refusals[0].get("sentence", "see rasnode status")
        raise DemoFailed(f"the {study.name} became {series.state}: {why}")
    return series if series.state is SeriesState.READY else None


def _volume(series: SeriesRecord, study: Study, outputs: Path) -> Path:
    found = [name for name in series.outputs if name.endswith((".nii.gz", ".nii"))]
    if len(found) != 1:
        raise DemoFailed(f"the {study.name} became {len(found)} volumes and not one")
    return outputs / found[0]


def _show(console: Console, made: _Made) -> None:
    """Print where the volume is, and whether it is what was scanned.

    Raises:
        DemoFailed: a voxel does not have the value of its place.
    """
    volume = read_volume(made.volume)
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
            raise DemoFailed(f"there is no {path}")
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
        f"  checked  at every voxel's place in RAS the phantom has that value (± {difference:.2f})"
    )


def _difference(study: Study, volume: Volume) -> float:
    return largest_difference(
        study,
        volume.shape,
        volume.affine,
        lambda k, time: volume.values(volume.stored[:, :, k, time]),
    )


def _wait_for_interrupt(node: PrivateNode) -> None:
    try:
        while True:
            node.check_alive()
            time.sleep(1)
    except KeyboardInterrupt:
        return
