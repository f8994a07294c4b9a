"""`coords`: one point in every space, and the DICOM slice and pixel that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from node.assemble.space import Matrix, lps_to_ras, ras_to_lps, to_voxel, to_world
from node.cli.images.nifti_files import Written, open_image, three_numbers
from node.cli.output.terminal import say_exactly
from node.core.errors import ConfigError

DECIMALS = 4
"""Printed of a mm or a voxel; files have all decimals."""


def coords(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="A NIfTI file that the node wrote.")
    ],
    ijk: Annotated[
        str | None, typer.Option("--ijk", metavar="I,J,K", help="A voxel, from 0.")
    ] = None,
    ras: Annotated[
        str | None, typer.Option("--ras", metavar="R,A,S", help="A point in RAS, mm.")
    ] = None,
    lps: Annotated[
        str | None, typer.Option("--lps", metavar="L,P,S", help="A point in LPS, mm.")
    ] = None,
    volume: Annotated[
        int, typer.Option("--volume", help="The volume of a 4D image, from 0.", min=0)
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show a point as voxel, RAS, LPS and DICOM pixel.

    Prints the IJK to RAS and IJK to LPS matrices, too, and the SOP Instance UID, row and column
    that the voxel came from.
    """
    given = [(name, text) for name, text in (("ijk", ijk), ("ras", ras), ("lps", lps)) if text]
    if len(given) != 1:
        raise ConfigError("give one point: --ijk I,J,K or --ras R,A,S or --lps L,P,S")
    written = open_image(image)
    affine = np.asarray(written.manifest.get("affine", written.image.affine), np.float64)
    name, text = given[0]
    point = np.array(three_numbers(text, f"--{name}"))
    if name == "lps":
        point = to_world(lps_to_ras(np.eye(4)), point)
    voxel = point if name == "ijk" else to_voxel(affine, point)
    answer = _answer(written, affine, voxel, volume)
    say_exactly(json.dumps(answer, indent=1) if as_json else _readable(answer))


def _answer(written: Written, affine: Matrix, voxel: Matrix, volume: int) -> dict[str, Any]:
    shape = written.image.shape
    nearest = np.rint(voxel).astype(int)
    inside = bool((nearest >= 0).all() and (nearest < shape[:3]).all())
    volumes = shape[3] if len(shape) > 3 else 1
    if volume >= volumes:
        raise ConfigError(f"the image has {volumes} volumes; --volume takes 0 to {volumes - 1}")
    at = (*nearest.tolist(), volume) if len(shape) > 3 else tuple(nearest.tolist())
    return {
        "ijk": _rounded(voxel),
        "ras": _rounded(to_world(affine, voxel)),
        "lps": _rounded(to_world(ras_to_lps(affine), voxel)),
        "inside": inside,
        "value": _value(written, at) if inside else None,
        "ijk_to_ras": affine.tolist(),
        "ijk_to_lps": ras_to_lps(affine).tolist(),
        "source": _source(written, voxel, nearest, volume) if inside else None,
    }


def _value(written: Written, at: tuple[int, ...]) -> Any:
    found = np.asanyarray(written.image.dataobj[at])
    return found.tolist() if found.dtype.names is None else list(found.item())


def _source(written: Written, voxel: Matrix, nearest: Any, volume: int) -> dict[str, Any] | None:
    """The instance of a voxel's slice, and the row and column of its pixel there, from 0."""
    mapping = written.manifest.get("voxel_to_source")
    if mapping is None:
        return None
    k = int(nearest[written.slice_axis])
    for source in written.manifest.get("sources", ()):
        if source["k"] == k and source["t"] == volume:
            down, right = source.get("tile", (0, 0))
            column, row, _ = to_world(np.asarray(mapping, np.float64), voxel).tolist()
            found = {"sop_instance_uid": source["sop_instance_uid"]}
            found |= {"frame": source["frame"]} if "frame" in source else {}
            return found | {
                "row": round(row + down, DECIMALS),
                "column": round(column + right, DECIMALS),
            }
    return None


def _rounded(values: Matrix) -> list[float]:
    return [round(value, DECIMALS) + 0.0 for value in values.tolist()]


def _readable(answer: dict[str, Any]) -> str:
    lines = [f"{name}  " + "  ".join(f"{value:.3f}" for value in answer[name])
             for name in ("ijk", "ras", "lps")]  # fmt: skip
    if not answer["inside"]:
        lines.append("outside the image")
    else:
        lines.append(f"value  {answer['value']}")
    source = answer["source"]
    if source:
        frame = f", frame {source['frame']}" if "frame" in source else ""
        lines.append(
            f"source  {source['sop_instance_uid']}{frame}, row {source['row']:g}, "
            f"column {source['column']:g} (from 0)"
        )
    for name in ("ijk_to_ras", "ijk_to_lps"):
        lines.append(name.replace("_", " "))
        lines += ["  " + " ".join(f"{value:12.5f}" for value in row) for row in answer[name]]
    return "\n".join(lines)
