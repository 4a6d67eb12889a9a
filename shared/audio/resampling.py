"""Sample rate conversion by cubic interpolation, and sample clock recovery.

Good for voices, which have little near half of the rate. A device's samples are placed by block times that tremble.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.audio.codec import RATE, Samples

JUMP_SECONDS = 0.2
"""More than this is no trembling: samples are missing, or the clock was set."""
_FOLLOW = 0.01
"""Share of the way that a block's time moves the clock: over 2 s of blocks of 20 ms, where a drift of 100 ppm makes it
0.2 ms late."""


class Resampler:
    """Turns a stream of one rate into another, block by block, without seams; two samples late."""

    def __init__(self, source: float, target: float) -> None:
        """Samples a second of what comes and of what is wanted."""
        self._step = source / target
        self._kept = np.zeros(3, np.float32)
        self._at = 1.0
        """Of the next sample wanted, in those kept."""

    def __call__(self, samples: Samples) -> Samples:
        """All that can be said after these samples: as many a second as are wanted, but not the same in every block."""
        kept = np.concatenate([self._kept, samples])
        count = max(0, int(np.ceil((len(kept) - 2 - self._at) / self._step)))
        wanted = between(kept, self._at + self._step * np.arange(count)) if count else np.zeros(0, np.float32)
        self._kept = kept[-3:]
        self._at += self._step * count - (len(kept) - 3)
        return wanted


def between(samples: Samples, positions: NDArray[np.floating[Any]]) -> Samples:
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


class SampleClock:
    """The time of the next sample of a stream, in seconds; first-order loop, averaging while it is young."""

    def __init__(self) -> None:
        self.next = 0.0
        """When the first sample of the next block happens."""
        self._blocks = 0

    def add(self, count: int, clock: float) -> bool:
        """Takes in a block of samples of which the first happened at `clock`; whether that was a jump."""
        ahead = clock - self.next
        jumped = self._blocks == 0 or abs(ahead) > JUMP_SECONDS
        if jumped:
            self.next, self._blocks = clock, 1
        else:
            self._blocks += 1
            self.next += max(_FOLLOW, 1 / self._blocks) * ahead
        self.next += count / RATE
        return jumped
