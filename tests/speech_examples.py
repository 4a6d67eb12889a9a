"""Sound for tests, and what to measure in it: beeps, onsets and gaps. Speech is in `benchmarks.voice`."""

from __future__ import annotations

import numpy as np

from benchmarks.voice import speech, write_wav
from shared.audio.codec import RATE, Samples

__all__ = ["beeps", "longest_gap", "onsets", "speech", "write_wav"]


def beeps(seconds: float, at: list[float], lasts: float = 0.12) -> Samples:
    """A tone of 700 Hz at each of these times, and a whisper of noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    on = np.zeros_like(t)
    for begin in at:
        on[(t >= begin) & (t < begin + lasts)] = 1
    noise = np.random.default_rng(0).standard_normal(len(t))
    return np.asarray(0.4 * on * np.sin(2 * np.pi * 700 * t) + 0.0003 * noise, np.float32)


def onsets(samples: Samples, threshold: float = 0.08, quiet: float = 0.3) -> list[float]:
    """Seconds at which the sound becomes loud after having been quiet for a while."""
    loud = np.flatnonzero(np.abs(samples) > threshold) / RATE
    return [float(t) for t, before in zip(loud, [-9.0, *loud[:-1]], strict=True) if t - before > quiet]


def longest_gap(samples: Samples, below: float) -> float:
    """The longest time in seconds for which the power of every 5 ms is below so much of the mean power."""
    block = RATE // 200
    power = np.array([np.mean(samples[i : i + block] ** 2) for i in range(0, len(samples) - block, block)])
    longest = run = 0
    for quiet in power < below * power.mean():
        run = run + 1 if quiet else 0
        longest = max(longest, run)
    return longest / 200
