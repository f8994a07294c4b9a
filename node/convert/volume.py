"""One volume: its place and its voxels, in memory or streamed from the files of its slices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Final

import numpy as np

from node.assemble.order.volume_times import Times, times_of
from node.assemble.pixels.stored_values import Image
from node.assemble.pixels.voxel_values import Values, choose, decided, finish, is_final
from node.assemble.series import VolumePlan
from node.assemble.volumes.fill import fill
from node.assemble.volumes.layers import (
    CompressedLayer,
    cut,
    extremes,
    slices_are_layers,
    stream_blocks,
)
from node.assemble.volumes.nifti import make_header
from node.assemble.volumes.preview import window_of
from node.assemble.volumes.regrid import is_resampled, regrid, regrid_room
from node.convert.filling import fill_quickly
from node.convert.memory import check_room, volume_room
from node.convert.slice_cache import SliceCache
from node.convert.sources import PixelReader
from node.core.errors import AssemblyError, Reason
from node.core.version import VERSION

SMALL_BYTES: Final = 32 << 20
"""Bytes; a smaller volume is read into memory, which is faster than reading its slices twice."""


@dataclass(frozen=True)
class Voxels(ABC):
    """One volume to be written, whose values are read block by block.

    Attributes:
        plan: its frames and its place.
        dtype: type of the stored values.
        slope, intercept: value = slope·stored + intercept.
    """

    plan: VolumePlan
    dtype: np.dtype[np.generic]
    slope: float
    intercept: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(i, j, k, t) in RAS order."""
        i, j, k = self.plan.shape[:3]
        return i, j, k, len(self.plan.grid)

    @property
    def shades(self) -> tuple[float, float] | None:
        """The stored values that the preview draws black and white; None if not known."""
        middle = self.plan.grid[0][len(self.plan.grid[0]) // 2]
        window = window_of(middle)
        if window is None or not self.slope:
            return None
        black, white = ((value - self.intercept) / self.slope for value in window)
        return black, white

    @cached_property
    def times(self) -> Times:
        """What is known about the time between volumes; every frame is asked for it."""
        return times_of(self.plan)

    def header(self, comment: str = "") -> Any:
        """Return the NIfTI header."""
        return make_header(
            self.plan.shape,
            self.dtype,
            self.plan.affine,
            slope=self.slope,
            intercept=self.intercept,
            repetition_time=self.times.interval,
            description=comment or f"rasnode {VERSION}",
            comment=comment,
        )

    @abstractmethod
    def blocks(self) -> Iterator[Image | CompressedLayer]:
        """Yield the stored values in the order of the file: (i, j, layers), Fortran-contiguous.

        Raises:
            AssemblyError: a slice cannot be read.
        """


@dataclass(frozen=True)
class Volume(Voxels):
    """One volume in memory.

    Attributes:
        array: (i, j, k, t) stored values in RAS order, Fortran-contiguous.
    """

    array: Image = field(repr=False)

    @property
    def stored(self) -> Image:
        """(i, j, k), or (i, j, k, t) if there are several volumes."""
        return self.array if len(self.plan.shape) == 4 else self.array[..., 0]

    def blocks(self) -> Iterator[Image]:
        """Yield views of the array."""
        return cut(self.array)


@dataclass(frozen=True)
class StreamedVolume(Voxels):
    """One volume whose slices are read while they are written, and not kept in memory.

    Attributes:
        values: how voxels are made of stored values.
        read: reads the stored values of a frame.
        cache: layers that are compressed already.
    """

    values: Values
    read: PixelReader = field(repr=False)
    cache: SliceCache | None = field(default=None, repr=False)

    def blocks(self) -> Iterator[Image | CompressedLayer]:
        """Read the slices."""
        if self.cache is None:
            return stream_blocks(self.plan, self.values, self.read)
        return stream_blocks(self.plan, self.values, self.read, self.cache.get)


def read_volume(volume: VolumePlan, read: PixelReader, *, square: bool = False) -> Volume:
    """Read a whole volume into memory, with all processors, and resample it if necessary.

    Args:
        volume: the plan.
        read: reads the stored values of a frame.
        square: resample a sheared grid to right angles.

    Raises:
        AssemblyError: a slice cannot be read, or the volume is too large for the memory.
        TooLittleMemory: there is too little free memory at the moment.
    """
    values = _values(volume)
    _check(volume, values, read, whole=True, square=square)
    return _in_memory(volume, values, read, fill_quickly, square=square)


def _in_memory(
    volume: VolumePlan,
    values: Values,
    read: PixelReader,
    filling: Callable[[VolumePlan, Values, PixelReader], Image] = fill,
    *,
    square: bool,
) -> Volume:
    try:
        array = filling(volume, values, read)
    except MemoryError as error:
        raise too_large(volume) from error
    array, slope, intercept = finish(array, values)
    volume, array = regrid(volume, array, square=square)
    return Volume(volume, array.dtype, slope, intercept, array)


def prepare_volume(
    volume: VolumePlan, read: PixelReader, cache: SliceCache | None = None, *, square: bool = False
) -> Voxels:
    """Return a volume to be written, streamed slice by slice if that is possible.

    Args:
        volume: the plan.
        read: reads the stored values of a frame.
        cache: layers that are compressed already.
        square: resample a sheared grid to right angles.

    Raises:
        AssemblyError: a slice cannot be read, or the volume is too large for the memory.
        TooLittleMemory: there is too little free memory at the moment.
    """
    values = _values(volume)
    size = prod(volume.shape) * values.dtype.itemsize
    twice = not is_final(values)
    whole = (
        is_resampled(volume, square=square)
        or not slices_are_layers(volume)
        or (twice and (size < SMALL_BYTES or not read.is_cheap))
    )
    _check(volume, values, read, whole=whole, square=square)
    if whole:
        return _in_memory(volume, values, read, square=square)
    if twice:
        values = decided(values, *extremes(volume, values, read))
    return StreamedVolume(volume, values.dtype, values.slope, values.intercept, values, read, cache)


def _check(
    volume: VolumePlan, values: Values, read: PixelReader, *, whole: bool, square: bool
) -> None:
    """Refuse a volume that cannot be made, before any pixel is read.

    Raises:
        AssemblyError: pixel data are too short, or the volume is too large for the memory.
        TooLittleMemory: there is too little free memory at the moment.
    """
    pieces = [piece for row in volume.grid for piece in row]
    read.check(pieces)
    size = prod(volume.shape) * values.dtype.itemsize
    layer = size // max(1, volume.shape[2] * len(volume.grid)) if slices_are_layers(volume) else 0
    room = volume_room(size, layer, [read.room(pieces)], whole=whole)
    if is_resampled(volume, square=square):
        room += regrid_room(volume, values.dtype, square=square)
    check_room(room, f"A volume of {volume.shape} voxels")


def too_large(volume: VolumePlan) -> AssemblyError:
    """Return the refusal of a volume that does not fit into memory."""
    sentence = (
        f"A volume of {volume.shape} voxels does not fit into memory. Give the node, or each of "
        "its workers (assembly.worker_memory), more memory."
    )
    return AssemblyError(Reason.UNSUPPORTED_PIXELS, sentence)


def _values(volume: VolumePlan) -> Values:
    return choose([piece for row in volume.grid for piece in row])
