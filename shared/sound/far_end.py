"""Playback reference: what a speaker plays, by the time at which it is heard, on another device's clock.

Two devices never count the same: a sound card is 20 to 100 millionths fast or slow. Sound that is read here is
therefore resampled (cubic interpolation) so that it keeps to the reader's times without a seam; an adaptive filter
behind it takes every seam for a new room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.sound.codec import RATE, Samples
from shared.sound.sample_clock import SampleClock

KEPT_SECONDS = 3.0
"""As long as a microphone keeps what was not read yet, and a second more."""
_SEAM_SECONDS = 0.02
"""A reader that is farther off than this is put right at once."""
_FOLLOW_SECONDS = 4.0
"""A smaller difference is taken up in this time, by reading a little faster or slower."""
_MOST_DRIFT = 0.001


class FarEnd:
    """Keeps what is played; reads it by time, at RATE."""

    def __init__(self, rate: float = RATE) -> None:
        """`rate`: samples a second of what is played."""
        self._clock = SampleClock(rate)
        self._kept = np.zeros(0, np.float32)
        self._end = 0
        """Number of the sample after the last one kept."""
        self._at: float | None = None
        """Number of the sample that is read next."""

    @property
    def until(self) -> float:
        """The time, in seconds, up to which it is known what is heard; -inf before the first block."""
        return self._clock.next if self._end else float("-inf")

    def add(self, samples: Samples, clock: float) -> None:
        """Takes in what is played next; its first sample is heard at `clock` seconds."""
        if self._clock.add(len(samples), clock):
            self._kept, self._at = np.zeros(0, np.float32), None
        self._kept = np.concatenate([self._kept, samples])[-round(KEPT_SECONDS * self._clock.rate) :]
        self._end += len(samples)

    def read(self, clock: float, count: int) -> Samples:
        """`count` samples at RATE, of which the first is heard at `clock`; silence where nothing is known."""
        rate = self._clock.rate
        wanted = self._end + (clock - self._clock.next) * rate
        if self._at is None or abs(wanted - self._at) > _SEAM_SECONDS * rate:
            self._at = wanted
        drift = (wanted - self._at) / (_FOLLOW_SECONDS * rate)
        step = rate / RATE * (1 + min(max(drift, -_MOST_DRIFT), _MOST_DRIFT))
        positions = self._at - (self._end - len(self._kept)) + step * np.arange(count)
        self._at += step * count
        return between(self._kept, positions)


def between(samples: Samples, positions: NDArray[np.float64]) -> Samples:
    """`samples` at ascending fractional positions by Catmull-Rom splines; zeros on both sides of them."""
    first = int(np.floor(positions[0])) - 1
    needed = samples[max(0, first) : max(0, int(np.ceil(positions[-1])) + 3)]
    before = max(0, -first) if len(needed) else 0
    last = int(np.ceil(positions[-1])) + 3 - first
    padded = np.zeros(last, np.float32)
    padded[before : before + len(needed)] = needed
    whole = np.floor(positions).astype(np.int64)
    t = (positions - whole).astype(np.float32)
    a, b, c, d = (padded[whole - first + k] for k in (-1, 0, 1, 2))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.asarray(curve, np.float32)
