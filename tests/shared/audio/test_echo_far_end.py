from __future__ import annotations

import numpy as np
import pytest

from shared.audio.codec import RATE, Samples
from shared.audio.echo import FarEnd


def tone(count: int) -> Samples:
    """800 Hz."""
    return np.asarray(np.sin(2 * np.pi * 800 * np.arange(count) / RATE), np.float32)


def read_all(fast: float, seconds: float = 12.0) -> Samples:
    """The tone, played on a clock that is fast, as read in parts of 40 ms from 0.1 s on."""
    far, block, played, parts = FarEnd(), RATE // 50, 0, []
    sound = tone(round(seconds * RATE))
    for n in range(int((seconds - 1) / 0.04)):
        while far.until < 0.2 + n * 0.04:
            far.add(sound[played : played + block], played / RATE / (1 + fast))
            played += block
        parts.append(far.read(0.1 + n * 0.04, round(0.04 * RATE)))
    return np.concatenate(parts)


def test_what_was_played_is_read_by_time() -> None:
    read = read_all(0.0)
    expected = tone(len(read) + RATE // 10)[RATE // 10 :]
    assert np.max(np.abs(read - expected)) < 0.001


@pytest.mark.parametrize("fast", [1e-4, -1e-4])
def test_a_drift_is_read_without_a_seam(fast: float) -> None:
    read = read_all(fast)
    assert np.max(np.abs(np.diff(read, 2))) < 1.1 * (2 * np.pi * 800 / RATE) ** 2  # of the tone itself
    crossings = np.flatnonzero((read[:-1] < 0) & (read[1:] >= 0))
    late = 800 * len(read) / RATE - len(crossings)
    assert late == pytest.approx(-fast * 800 * len(read) / RATE, abs=1.1)  # as many as were played in the time


def test_where_nothing_is_known_it_is_silent() -> None:
    far = FarEnd()
    assert far.until == float("-inf")
    assert not far.read(3.0, 480).any()
    far.add(np.ones(960, np.float32), 10.0)
    assert far.until == pytest.approx(10.02)
    read = far.read(9.99, 1920)
    assert not read[:470].any() and not read[1450:].any()
    assert read[490:1430] == pytest.approx(np.ones(940))
    assert not far.read(50.0, 480).any() and not far.read(-50.0, 480).any()


def test_a_speaker_whose_clock_jumps_begins_anew() -> None:
    far = FarEnd()
    far.add(np.ones(960, np.float32), 10.0)
    far.add(np.full(960, 0.5, np.float32), 12.0)
    assert not far.read(10.0, 900).any()
    assert far.read(12.001, 900) == pytest.approx(np.full(900, 0.5))
