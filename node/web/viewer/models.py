"""The viewer's answers as types; the OpenAPI description is made from them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Plane(BaseModel):
    """How the slices across one axis are drawn."""

    name: Literal["sagittal", "coronal", "axial"]
    axis: int
    slices: int
    width: int
    height: int
    pixel_width: float = Field(description="In mm.")
    pixel_height: float = Field(description="In mm.")
    edges: dict[str, str] = Field(
        description="The letters at left, right, top and bottom: R L A P S or I."
    )


class LabelView(BaseModel):
    """One label of a label map."""

    value: int
    name: str
    colour: tuple[int, int, int] | None = Field(description="Red, green, blue; null: none stated.")


class VolumeView(BaseModel):
    """The geometry of a volume, and the first window of its viewer."""

    shape: tuple[int, int, int, int]
    spacing: tuple[float, float, float] = Field(description="In mm.")
    repetition: float = Field(description="Repetition time in seconds; 0: unknown.")
    affine: list[list[float]] = Field(description="Voxel (i, j, k) to RAS mm.")
    oblique: float = Field(description="The largest angle between an axis and its letter, degrees.")
    modality: str = Field(description="Of the series.")
    colour: bool
    window: tuple[float, float] = Field(description="The values that are drawn black and white.")
    planes: list[Plane]
    revision: int
    values: str = Field(
        description="Type of the numbers that `values` answers, such as int16; little endian. "
        "rgb: three bytes a voxel."
    )
    slope: float = Field(description="value = number × slope + intercept")
    intercept: float
    labels: list[LabelView] = Field(description="Of a label map; empty: it is none.")
    labelled: str | None = Field(
        description="URL of the volume that a label map belongs to, on the same grid."
    )


class LabelMapView(BaseModel):
    """A label map on the grid of a volume."""

    series: str = Field(description="The address of the series of the label map.")
    name: str = Field(description="Series Number and Series Description of the label map.")
    volume: str = Field(description="URL of the label map for the viewer.")
    labels: list[LabelView]


class Voxel(BaseModel):
    """A voxel: its value, its place, and the instance that it came from."""

    value: list[float | None] = Field(description="one number, or red, green and blue")
    ras: tuple[float, float, float] = Field(description="In mm.")
    source: str | None = Field(description="SOP Instance UID; null if the manifest does not say")
