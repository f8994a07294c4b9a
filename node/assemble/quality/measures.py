"""Temporal signal-to-noise ratio and spikes of a 4D series, from one volume after the other."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

Array = npt.NDArray[np.float64]

MASK_SHARE: Final = 0.2
"""Voxels count whose mean is above this share of the 98th percentile of all means."""
SPIKE_LIMIT: Final = 8.0
"""Robust standard deviations of a slice's mean signal from that of the neighbouring volumes."""
_LEAST_SPREAD: Final = 0.002
"""Share of a slice's mean signal; smaller deviations are no spikes, however steady the rest is."""
_NEIGHBOURS: Final = 5


class Spike(NamedTuple):
    """A slice whose signal is far from that of the neighbouring volumes.

    Attributes:
        t: the volume.
        k: the slice, along the axis of the array that runs over the slices.
        deviation: robust standard deviations.
    """

    t: int
    k: int
    deviation: float


class SignalRecorder:
    """Sums what the measures need; keeps three volumes, whatever the number of volumes.

    Args:
        shape: (i, j, k) of a volume.
        slice_axis: the axis of the array that runs over the slices.
    """

    def __init__(self, shape: tuple[int, int, int], slice_axis: int) -> None:
        self._sum, self._squares, self._ramp = (np.zeros(shape) for _ in range(3))
        self._rows: list[Array] = []
        self._across = tuple(axis for axis in range(3) if axis != slice_axis)

    def add(self, volume: npt.NDArray[Any]) -> None:
        """Take the next volume, (i, j, k)."""
        values = np.asarray(volume, np.float64)
        self._sum += values
        self._squares += values**2
        self._ramp += values * len(self._rows)
        self._rows.append(values.mean(axis=self._across))

    def tsnr(self) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Mean divided by the standard deviation around the linear trend, and the mask.

        Returns:
            (i, j, k) ratio, 0 where nothing varies; (i, j, k) voxels with signal.
        """
        count = len(self._rows)
        mean = self._sum / count
        times = np.arange(count) - (count - 1) / 2
        slope = (self._ramp - self._sum * (count - 1) / 2) / float(times @ times)
        left = self._squares - count * mean**2 - slope**2 * float(times @ times)
        spread = np.sqrt(np.maximum(left, 0) / max(count - 2, 1))
        steady = spread <= 1e-6 * np.abs(mean)
        ratio = np.divide(mean, spread, out=np.zeros_like(mean), where=~steady)
        return ratio, mean > MASK_SHARE * float(np.percentile(mean, 98))

    def spikes(self) -> list[Spike]:
        """The slices whose signal is far from that of the neighbouring volumes."""
        signal = np.stack(self._rows)  # (t, k)
        smooth = median_filter(signal, size=(_NEIGHBOURS, 1), mode="nearest")
        difference = signal - smooth
        spread = 1.4826 * np.median(np.abs(difference), axis=0)
        least = _LEAST_SPREAD * np.maximum(np.abs(np.median(signal, axis=0)), signal.max() * 0.1)
        deviation = np.abs(difference) / np.maximum(np.maximum(spread, least), 1e-12)
        found = np.argwhere(deviation > SPIKE_LIMIT)
        return [Spike(int(t), int(k), round(float(deviation[t, k]), 1)) for t, k in found]
