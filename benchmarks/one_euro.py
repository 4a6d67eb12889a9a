"""The One-Euro filter (Casiez, Roussel and Vogel 2012), which the sender does not use: measured by `motion_codec`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class OneEuro:
    """Smooths (D,) numbers, each the more the slower it moves."""

    def __init__(self, cutoff: float, growth: float, speed_cutoff: float = 1.0) -> None:
        """`cutoff` in Hz of a number at rest, `growth` in Hz per unit a second; `speed_cutoff` smooths the speed."""
        self._cutoff, self._growth, self._speed_cutoff = cutoff, growth, speed_cutoff
        self._value: Floats | None = None
        self._speed: Floats | None = None

    def __call__(self, numbers: Floats, seconds: float) -> Floats:
        """The smoothed numbers, `seconds` after those before."""
        if self._value is None or self._speed is None:
            self._value, self._speed = np.asarray(numbers, np.float64), np.zeros_like(numbers, np.float64)
            return self._value
        speed = (numbers - self._value) / seconds
        self._speed = self._speed + _share(self._speed_cutoff, seconds) * (speed - self._speed)
        cutoff = self._cutoff + self._growth * np.abs(self._speed)
        self._value = self._value + _share(cutoff, seconds) * (numbers - self._value)
        return self._value


def rise_frames(smooth: OneEuro, size: float, seconds: float) -> int:
    """Frames, `seconds` apart, after which a step of a number at rest shows to 90 %; 0: at once."""
    smooth(np.zeros(1), seconds)
    frames = 0
    while smooth(np.full(1, float(size)), seconds)[0] < 0.9 * size:
        frames += 1
    return frames


def _share(cutoff: float | Floats, seconds: float) -> Floats:
    """Of the way to the new value that is gone at once."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * seconds)), np.float64)
