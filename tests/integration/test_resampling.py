"""What the configuration asks the node to interpolate, it does and says."""

from __future__ import annotations

import json
from pathlib import Path

from node.assemble.volumes.regrid import EVENED, SQUARED
from tests.phantom import CT, ROOT, Phantom, decimal, save
from tests.running import RunningNode, manifests

TILTED = Phantom(sop_class=CT, series=f"{ROOT}.21", shear=0.8)
UNEVEN = Phantom(sop_class=CT, series=f"{ROOT}.22")
PLACES = (0.0, 3.0, 6.0, 10.0)


def test_tilt_and_unequal_steps(tmp_path: Path) -> None:
    uneven = UNEVEN.instances()
    for place, one in zip(PLACES, uneven, strict=True):
        one.ImagePositionPatient = decimal(UNEVEN.affine[:3] @ [0, 0, place / 3.0, 1])
    save([*TILTED.instances(), *uneven], tmp_path / "in")
    node = RunningNode(
        tmp_path,
        {
            "completion": {"quiet_seconds": 0.5},
            "assembly": {"resample_tilt": True, "resample_unequal": True},
        },
    ).start()
    try:
        node.send(tmp_path / "in")
        node.settle(states=["ready"])
    finally:
        node.kill()
    found = [json.loads(path.read_text()) for path in manifests(node)]
    done = {one["series_instance_uid"]: one["resampled"] for one in found}
    assert done == {TILTED.series: [SQUARED], UNEVEN.series: [EVENED]}
    assert not any(one["sheared"] for one in found)
