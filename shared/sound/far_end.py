"""Playback reference: what a speaker plays, by the time at which it is heard, on another device's clock.

Two devices never count the same: a sound card is 20 to 100 millionths fast or slow. Sound that is read here is
therefore resampled (cubic interpolation) so that it keeps to the reader's times without a seam; an adaptive filter
behind it takes every seam for a new room.
"""

from __future__ import annotations

import numpy as np

from shared.sound.codec import RATE, Samples
from shared.sound.resampling import between
from shared.sound.sample_clock import SampleClock

KEPT_SECONDS = 3.0
"""As long as a microphone keeps what was not read yet, and a second more."""
_SEAM_SECONDS = 0.02
"""A reader that is farther off than this is put right at once."""
_FOLLOW_SECONDS = 4.0
"""A smaller difference is taken up in this time, by reading a little faster or slower."""
_MOST_DRIFT = 0.001


class FarEnd:
    """Keeps what is played, and reads it by time."""

    def __init__(self) -> None:
        self._clock = SampleClock()
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
        self._kept = np.concatenate([self._kept, samples])[-round(KEPT_SECONDS * RATE) :]
        self._end += len(samples)

    def read(self, clock: float, count: int) -> Samples:
        """`count` samples, of which the first is heard at `clock`; silence where nothing is known."""
        wanted = self._end + (clock - self._clock.next) * RATE
        if self._at is None or abs(wanted - self._at) > _SEAM_SECONDS * RATE:
            self._at = wanted
        drift = (wanted - self._at) / (_FOLLOW_SECONDS * RATE)
        step = 1 + min(max(drift, -_MOST_DRIFT), _MOST_DRIFT)
        positions = self._at - (self._end - len(self._kept)) + step * np.arange(count)
        self._at += step * count
        return between(self._kept, positions)
