"""The pictures of docs/spaces.md, drawn from the numbers that its code blocks compute.

    python -m benchmarks.spaces docs/pictures

Every slice is coronal and seen from the front: the patient's left is on the right-hand side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import numpy as np

from node import space

WIDTH: Final = 760
INK, FAINT, PAPER = "#22313a", "#c9d3d8", "#ffffff"
BLUE, ORANGE, GREEN, SKIN = "#1f6f8b", "#d9822b", "#3a8f5c", "#f3e3d3"

CT: Final = np.array(
    [[9.4, 0.0, -3.42, -30.0], [0.0, 1.0, 0.0, -25.0], [3.42, 0.0, 9.4, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""(4, 4) voxel (i, j, k) -> RAS mm: voxels of 10 mm, turned by 20 degrees about the A axis."""
MR: Final = np.array(
    [[16.0, 0.0, 0.0, -25.0], [0.0, 1.0, 0.0, -25.0], [0.0, 0.0, 16.0, 8.0], [0.0, 0.0, 0.0, 1.0]]
)
"""(4, 4) voxel (i, j, k) -> RAS mm: voxels of 16 mm, not turned."""

Place = tuple[float, float]


class Drawing:
    """Parts of an SVG.

    Args:
        height: pixels, as everything here.
    """

    def __init__(self, height: int) -> None:
        self._height = height
        self._parts: list[str] = []

    def add(self, part: str) -> None:
        """Add an element."""
        self._parts.append(part)

    def text(
        self, x: float, y: float, said: str, *, colour: str = INK, size: int = 13,
        anchor: str = "start", bold: bool = False,
    ) -> None:  # fmt: skip
        """Write a line."""
        weight = ' font-weight="600"' if bold else ""
        self.add(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" '
            f'text-anchor="{anchor}"{weight}>{escape(said)}</text>'
        )

    def lines(self, x: float, y: float, said: Iterable[str]) -> None:
        """Write lines of numbers below each other."""
        for number, line in enumerate(said):
            self.add(
                f'<text x="{x:.1f}" y="{y + 19 * number:.1f}" fill="{INK}" font-size="13" '
                f'font-family="monospace" xml:space="preserve">{escape(line)}</text>'
            )

    def polygon(
        self, points: Sequence[Place], *, fill: str = "none", edge: str = INK, width: float = 1.0
    ) -> None:
        """Draw a closed line."""
        at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.add(f'<polygon points="{at}" fill="{fill}" stroke="{edge}" stroke-width="{width}"/>')

    def dot(self, place: Place, colour: str, radius: float = 4.0) -> None:
        """Draw a point."""
        self.add(f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius}" fill="{colour}"/>')

    def arrow(self, start: Place, end: Place, colour: str) -> None:
        """Draw an arrow."""
        along = np.subtract(end, start)
        along = along / np.linalg.norm(along)
        across = np.array([-along[1], along[0]])
        tip, base = np.array(end), np.array(end) - 9 * along
        self.add(
            f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{base[0]:.1f}" '
            f'y2="{base[1]:.1f}" stroke="{colour}" stroke-width="2.5"/>'
        )
        head = [tuple(tip), tuple(base + 5 * across), tuple(base - 5 * across)]
        self.polygon(head, fill=colour, edge=colour)

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" '
            f'width="{WIDTH}" height="{self._height}" font-family="system-ui, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{self._height}" fill="{PAPER}"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


class Front:
    """The coronal plane on paper: left is on the right-hand side, superior is up.

    Args:
        centre: where the origin of the patient's coordinates is, pixels.
        scale: pixels a mm.
    """

    def __init__(self, centre: Place, scale: float) -> None:
        self._centre, self._scale = centre, scale

    def at(self, ras: Sequence[float]) -> Place:
        """Return where a point in RAS mm is on paper."""
        return (
            self._centre[0] - ras[0] * self._scale,
            self._centre[1] - ras[2] * self._scale,
        )

    def voxel(self, affine: np.ndarray, i: float, k: float) -> Place:
        """Return where a voxel's place is on paper."""
        return self.at(space.to_world(affine, (i, 0, k)).tolist())

    def cell(self, affine: np.ndarray, i: float, k: float) -> list[Place]:
        """Return the corners of a voxel on paper."""
        around = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
        return [self.voxel(affine, i + a, k + b) for a, b in around]


def body(drawing: Drawing, x: float) -> None:
    """Draw a patient from the front."""
    drawing.add(
        f'<path d="M {x - 30} 95 q 0 -42 30 -42 q 30 0 30 42 q 0 30 -16 38 l 0 16 '
        f'q 62 6 66 40 l 6 91 l -172 0 l 6 -91 q 4 -34 66 -40 l 0 -16 q -16 -8 -16 -38 z" '
        f'fill="{SKIN}" stroke="{FAINT}"/>'
    )
    for eye in (-11, 11):
        drawing.dot((x + eye, 92), INK, 2.5)
    drawing.text(x - 98, 175, "R", colour=INK, size=15, anchor="middle", bold=True)
    drawing.text(x + 98, 175, "L", colour=INK, size=15, anchor="middle", bold=True)


def patient() -> Drawing:
    """LPS and RAS: the same point, the same patient, two signs."""
    drawing = Drawing(380)
    ras = np.array([-40.0, 20.0, 30.0])
    lps = space.to_world(space.ras_to_lps(np.eye(4)), ras)
    for x, name, users, values in (
        (200, "LPS", "DICOM, ITK, SimpleITK", lps),
        (560, "RAS", "NIfTI, 3D Slicer, MONAI", ras),
    ):
        left = name == "LPS"
        drawing.text(x, 30, name, size=18, anchor="middle", bold=True)
        drawing.text(x, 47, users, anchor="middle")
        body(drawing, x)
        origin = (float(x), 225.0)
        drawing.arrow(origin, (x + (75 if left else -75), 225), BLUE)
        drawing.arrow(origin, (x, 150), GREEN)
        drawing.text(x + (80 if left else -80), 244, "+x: " + name[0], colour=BLUE, bold=True,
                     anchor="start" if left else "end")  # fmt: skip
        drawing.text(x + 8, 160, "+z: S", colour=GREEN, bold=True)
        drawing.add(
            f'<circle cx="{x}" cy="225" r="8" fill="{PAPER}" stroke="{ORANGE}" stroke-width="2.5"/>'
        )
        if left:
            drawing.add(f'<path d="M {x - 5} 220 l 10 10 m 0 -10 l -10 10" stroke="{ORANGE}" '
                        'stroke-width="2.5"/>')  # fmt: skip
        else:
            drawing.dot((x, 225), ORANGE, 3)
        behind = "+y: P, away from you" if left else "+y: A, towards you"
        drawing.text(x, 255, behind, colour=ORANGE, bold=True, anchor="middle")
        drawing.dot((x + 40, 195), INK)
        shown = ", ".join(f"{value:g}" for value in values)
        drawing.text(x, 305, f"the point: ({shown}) mm", anchor="middle", bold=True)
    drawing.text(380, 345, "The point is the same. LPS and RAS differ in the signs of x and y.",
                 anchor="middle")  # fmt: skip
    drawing.text(380, 364, "R and L are the patient's right and left: you look at the patient.",
                 anchor="middle")  # fmt: skip
    return drawing


def grid(
    drawing: Drawing, front: Front, affine: np.ndarray, size: tuple[int, int], colour: str
) -> None:
    """Draw the voxels of one slice."""
    for i in range(size[0]):
        for k in range(size[1]):
            drawing.polygon(front.cell(affine, i, k), edge=colour)


def voxels() -> Drawing:
    """An affine: where voxel (0, 0, 0) is, and what one step along i and k adds."""
    drawing = Drawing(380)
    front = Front((215, 300), 3.5)
    size = (6, 6)
    chosen = (4, 2)
    grid(drawing, front, CT, size, FAINT)
    drawing.polygon(front.cell(CT, *chosen), fill="#d7e8ee", edge=BLUE, width=1.5)
    drawing.arrow(front.voxel(CT, 0, 0), front.voxel(CT, 1, 0), BLUE)
    drawing.arrow(front.voxel(CT, 0, 0), front.voxel(CT, 0, 1), GREEN)
    for i in range(size[0]):
        x, y = front.voxel(CT, i, -1)
        drawing.text(x, y + 4, str(i), colour=BLUE, anchor="middle")
    for k in range(size[1]):
        x, y = front.voxel(CT, -1, k)
        drawing.text(x, y + 4, str(k), colour=GREEN, anchor="middle")
    drawing.dot(front.voxel(CT, 0, 0), INK)
    drawing.dot(front.voxel(CT, *chosen), BLUE)
    drawing.arrow((30, 350), (90, 350), INK)
    drawing.text(96, 355, "L", bold=True)
    drawing.arrow((30, 350), (30, 290), INK)
    drawing.text(24, 282, "S", bold=True)
    point = space.to_world(CT, (chosen[0], 0, chosen[1]))
    drawing.text(430, 40, "IJK to RAS, millimetres", size=15, bold=True)
    drawing.lines(430, 70, (" ".join(f"{value:7.2f}" for value in row) for row in CT))
    drawing.text(430, 165, "column 1: one step along i", colour=BLUE)
    drawing.text(430, 185, "column 3: one step along k", colour=GREEN)
    drawing.text(430, 205, "column 4: the centre of voxel (0, 0, 0)")
    drawing.text(430, 245, f"voxel ({chosen[0]}, 0, {chosen[1]})", colour=BLUE, bold=True)
    drawing.lines(
        430, 268, (f"{axis} = {value:7.2f} mm" for axis, value in zip("RAS", point, strict=True))
    )
    drawing.text(430, 342, "Whole numbers are the centres of voxels; a voxel")
    drawing.text(430, 360, "reaches half a step further on each side.")
    return drawing


def two_grids() -> Drawing:
    """One place in two images: inv(B) @ A."""
    drawing = Drawing(380)
    front = Front((215, 300), 3.5)
    grid(drawing, front, MR, (5, 4), "#f0c897")
    grid(drawing, front, CT, (6, 6), "#9fc3cf")
    voxel = (4.0, 0.0, 2.0)
    other = space.to_world(space.voxel_map(CT, MR), voxel)
    place = front.voxel(CT, voxel[0], voxel[2])
    drawing.dot(place, INK, 5)
    drawing.arrow((30, 350), (90, 350), INK)
    drawing.text(96, 355, "L", bold=True)
    drawing.arrow((30, 350), (30, 290), INK)
    drawing.text(24, 282, "S", bold=True)
    ras = space.to_world(CT, voxel)
    drawing.text(430, 60, "A: a CT", colour=BLUE, size=15, bold=True)
    drawing.text(430, 82, "voxel ({:g}, {:g}, {:g})".format(*voxel))
    drawing.text(430, 130, "the patient", size=15, bold=True)
    drawing.text(430, 152, "RAS ({:.2f}, {:.2f}, {:.2f}) mm".format(*(ras + 0.0)))
    drawing.text(430, 200, "B: an MR", colour=ORANGE, size=15, bold=True)
    drawing.text(430, 222, "voxel ({:.2f}, {:.2f}, {:.2f})".format(*(other + 0.0)))
    drawing.text(430, 270, "B voxel = inv(B) @ A @ A voxel", bold=True)
    drawing.text(430, 300, "Only if both have one frame of reference:")
    drawing.text(430, 318, "otherwise their millimetres count from")
    drawing.text(430, 336, "different origins.")
    return drawing


def isotropic() -> Drawing:
    """The same field of view with voxels of one size."""
    drawing = Drawing(370)
    size = (12, 1, 4)
    thick = np.diag([2.0, 2.0, 6.0, 1.0])
    affine, shape = space.respaced_grid(thick, size, (3.0, 2.0, 3.0))
    low, high = (-0.5, -0.5, -0.5), tuple(np.array(size) - 0.5)
    for x, title, now, count, colour in (
        (330, "as it was acquired: 2 x 6 mm", thick, size, BLUE),
        (700, "resampled: 3 x 3 mm", affine, shape, ORANGE),
    ):
        front = Front((x, 275), 11.5)
        grid(drawing, front, now, (count[0], count[2]), FAINT)
        corners = [(low[0], low[2]), (high[0], low[2]), (high[0], high[2]), (low[0], high[2])]
        drawing.polygon([front.voxel(thick, a, b) for a, b in corners], edge=INK, width=2)
        for i in range(count[0]):
            for k in range(count[2]):
                drawing.dot(front.voxel(now, i, k), colour, 3)
        left, _ = front.voxel(thick, high[0], 0)
        drawing.text(left, 24, title, colour=colour, size=15, bold=True)
    drawing.text(40, 336, "Dots are the centres of voxels. The black frame is the field of view, "
                 "which stays the same:")  # fmt: skip
    drawing.text(40, 354, "it reaches half a voxel beyond the outermost centres.")
    return drawing


PICTURES: Final = {
    "space-patient.svg": patient,
    "space-voxels.svg": voxels,
    "space-two-grids.svg": two_grids,
    "space-isotropic.svg": isotropic,
}


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, draw in PICTURES.items():
        draw().write(folder / name)


if __name__ == "__main__":
    main()
