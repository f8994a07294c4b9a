"""A series that comes slowly is compressed while it comes, and its files are those of any other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.convert import convert_series, read_folder
from node.dimse.scu.requests import send
from node.dimse.upper_layer.requestor import Destination
from tests.files import contents
from tests.phantom import CT, Phantom, save
from tests.running import RunningNode, eventually, manifests

SLICES = 80
PAUSE_SECONDS = 0.03


def test_a_slow_series_has_a_head_start_and_the_same_bytes(
    node: RunningNode, tmp_path: Path
) -> None:
    announced = {"ImagesInAcquisition": SLICES, "RescaleSlope": 1, "RescaleIntercept": -1024}
    data_sets = Phantom(size=(200, 200, SLICES), sop_class=CT, attributes=announced).instances()
    save(data_sets, tmp_path / "plain")
    folder = node.root / "nifti" / ".staging"

    def slowly() -> Iterator[Dataset]:
        for number, data_set in enumerate(data_sets):
            if number == SLICES - 10:  # it may take a while where others want the processors
                eventually(
                    lambda: any(path.stat().st_size for path in folder.iterdir()), 60, "slices"
                )
            yield data_set
            time.sleep(PAUSE_SECONDS)

    send(
        Destination("127.0.0.1", node.port, "RASNODE", "SENDER"),
        slowly(),
        {(CTImageStorage, ExplicitVRLittleEndian)},
    )
    (manifest,) = eventually(lambda: manifests(node), 60, "the volume is there")
    eventually(lambda: not list(folder.iterdir()), 10, "what was compressed early is gone")

    (series,), _ = read_folder([tmp_path / "plain"])
    stem = manifest.name.removesuffix(".manifest.json")
    convert_series(series.instances, tmp_path / "converted", stem)
    made, plain = contents(manifest.parent), contents(tmp_path / "converted")
    for ending in (".nii.gz", ".png", ".json"):
        assert made[stem + ending] == plain[stem + ending]
