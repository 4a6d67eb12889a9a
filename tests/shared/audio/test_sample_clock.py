from __future__ import annotations

import random

import pytest

from shared.audio.codec import RATE
from shared.audio.resampling import SampleClock

BLOCK = RATE // 50


def test_times_that_tremble_are_evened() -> None:
    clock, chance = SampleClock(), random.Random(1)
    for n in range(500):
        clock.add(BLOCK, 5 + 0.02 * n + chance.uniform(-0.005, 0.005))
        if n > 200:
            assert clock.next == pytest.approx(5 + 0.02 * (n + 1), abs=0.001)


def test_a_device_that_is_fast_is_followed() -> None:
    clock = SampleClock()
    for n in range(3000):
        clock.add(BLOCK, 0.02 * n * 1.0002)
    assert clock.next == pytest.approx(60 * 1.0002, abs=0.001)


def test_only_a_jump_is_a_jump() -> None:
    clock = SampleClock()
    assert clock.add(BLOCK, 7.0)
    assert not clock.add(BLOCK, 7.07)
    assert clock.add(BLOCK, 9.0) and clock.next == pytest.approx(9.02)
    assert clock.add(BLOCK, 3.0) and clock.next == pytest.approx(3.02)
