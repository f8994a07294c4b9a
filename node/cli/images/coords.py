"""`coords`: one point in every space, and the DICOM slice and pixel that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from node.assemble.markups import Markup, Point
from node.assemble.planes import slice_matrix
from node.assemble.space import Matrix, ras_to_lps, to_voxel, to_world
from node.cli.images.nifti_files import Written, open_image, three_numbers
from node.cli.images.points import points_of, write_answers
from node.cli.output.terminal import say, say_exactly
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
    points: Annotated[
        Path | None,
        typer.Option("--points", metavar="FILE", help="Points of 3D Slicer: .mrk.json or .fcsv."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the points there: .mrk.json, .fcsv, or .json with every space.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="LPS|RAS",
            help="Of what -o writes; else LPS. Of a --points file that does not say it.",
        ),
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
    if len(given) + (points is not None) != 1:
        raise ConfigError(
            "give one point, --ijk I,J,K or --ras R,A,S or --lps L,P,S, or --points FILE"
        )
    written = open_image(image)
    affine = np.asarray(written.manifest.get("affine", written.image.affine), np.float64)
    if points is not None:
        markups = points_of(points, system)
    else:
        markups = (Markup("Fiducial", (Point("P-1", _lps(affine, *given[0])),)),)
    answers = [
        {"label": point.label} | _answer(written, affine, _voxel(affine, point), volume)
        for markup in markups
        for point in markup.points
    ]
    if output is not None:
        write_answers(output, image, markups, answers, system)
    if points is None:
        del answers[0]["label"]
        say_exactly(json.dumps(answers[0], indent=1) if as_json else _readable(answers[0]))
    elif as_json:
        say_exactly(json.dumps({"points": answers}, indent=1))
    else:
        for answer in answers:
            say(_line(answer))


def _lps(affine: Matrix, name: str, text: str) -> tuple[float, float, float]:
    """Return a point that was given in some space, LPS mm."""
    point = np.array(three_numbers(text, f"--{name}"))
    if name == "ijk":
        point = to_world(ras_to_lps(affine), point)
    elif name == "ras":
        point = to_world(ras_to_lps(np.eye(4)), point)
    left, posterior, superior = point.tolist()
    return left, posterior, superior


def _voxel(affine: Matrix, point: Point) -> Matrix:
    return to_voxel(ras_to_lps(affine), point.lps)


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
        "slice": _slice(written, affine, voxel),
        "source": _source(written, voxel, nearest, volume) if inside else None,
    }


def _slice(written: Written, affine: Matrix, voxel: Matrix) -> dict[str, Any]:
    """Return the matrix of the point's slice in two dimensions, such as IJ to LS."""
    axis = written.slice_axis
    index = round(float(voxel[axis]))
    found = slice_matrix(ras_to_lps(affine), index, axis=axis)
    name = f"{found.voxel_axes}_to_{found.axes.lower()}"
    return {"axis": "ijk"[axis], "index": index, name: found.matrix.tolist()}


def _line(answer: dict[str, Any]) -> str:
    """Return one point of several: its name, its places, and where it comes from."""
    spaces = "  ".join(
        f"{name} " + ",".join(f"{value:.3f}" for value in answer[name])
        for name in ("ijk", "ras", "lps")
    )
    source = answer["source"]
    came = "" if answer["inside"] else "outside the image"
    return f"{answer['label']}  {spaces}  {source['sop_instance_uid'] if source else came}".rstrip()


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
        lines += _rows(answer[name])
    flat = answer["slice"]
    name = next(name for name in flat if "_to_" in name)
    lines.append(f"{name.replace('_', ' ')} (slice {flat['axis']} = {flat['index']})")
    lines += _rows(flat[name])
    return "\n".join(lines)


def _rows(matrix: list[list[float]]) -> list[str]:
    return ["  " + " ".join(f"{value:12.5f}" for value in row) for row in matrix]
