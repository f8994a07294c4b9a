"""Temporal signal-to-noise ratio and spikes."""

from __future__ import annotations

import numpy as np
import pytest

from node.assemble.quality.measures import SignalRecorder

SHAPE = (12, 10, 6)


def recorded(volumes: int = 200, noise: float = 5.0, drift: float = 0.0) -> SignalRecorder:
    chance = np.random.default_rng(0)
    recorder = SignalRecorder(SHAPE, 2)
    for t in range(volumes):
        volume = np.full(SHAPE, 500.0) + drift * t + chance.normal(0, noise, SHAPE)
        volume[:3] = 1.0
        recorder.add(volume)
    return recorder


@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_tsnr_is_signal_over_noise_whatever_the_drift(drift: float) -> None:
    ratio, mask = recorded(drift=drift).tsnr()
    assert not mask[:3].any()
    assert mask[3:].all()
    assert np.median(ratio[mask]) == pytest.approx((500 + drift * 100) / 5, rel=0.03)


@pytest.mark.parametrize("axis", [0, 2])
def test_a_bad_slice_is_found_and_nothing_else(axis: int) -> None:
    chance = np.random.default_rng(0)
    recorder = SignalRecorder(SHAPE, axis)
    for t in range(60):
        volume = 500 + chance.normal(0, 5, SHAPE)
        if t == 40:
            volume[(slice(None),) * axis + (3,)] += 100
        recorder.add(volume)
    (spike,) = recorder.spikes()
    assert (spike.t, spike.k) == (40, 3)


def test_noise_and_drift_are_no_spikes() -> None:
    assert recorded(drift=0.5).spikes() == []
