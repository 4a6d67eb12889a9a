"""The rate of frames: what is announced of a source, which frames of a fast one are left out, and pauses filled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from statistics import median
from typing import TypeVar

LEAST_RATE, LARGEST_RATE = 0.5, 60.0
"""Frames a second. Of a faster source some are left out: motion goes at half of it at most, and each is analysed."""
_CLOSEST = 0.7 / LARGEST_RATE
"""Seconds to the frame before from which one is taken: clocks tremble."""
LONGEST_STILL = 0.4
"""Seconds after which a frame that stands longer is given again, so that sound and motion go on: about the longest
interval that a bundle can say."""
_STANDS = 1.1 * LONGEST_STILL
_LIKE = 1.25
"""A rate on average that differs less from the usual one is believed: stamps are rounded."""

Shown = TypeVar("Shown")


def announced(rate: float, usual: float = 25.0) -> float:
    """The rate to announce for a source that says `rate`, or if that makes no sense is said to have the `usual` one.

    It is that of the frames which `thins` leaves.
    """
    if not 0 < rate < 1e5:  # NaN, too
        rate = usual
    one_in = max(1, ceil(_CLOSEST * rate - 1e-6))
    return min(max(rate / one_in, LEAST_RATE), LARGEST_RATE / 0.7)


def usual_rate(stamps: Sequence[float], average: float) -> float:
    """Frames a second of a file whose first frames have these stamps, in any order; `average`, or 0, is the file's.

    A pause or a slow part makes an average that hardly any frame has.
    """
    intervals = [b - a for a, b in pairwise(sorted(stamps)) if b > a]
    if not intervals:
        return average
    usual = 1 / median(intervals)
    return average if usual / _LIKE <= average <= usual * _LIKE else usual


class Thinner:
    """Leaves out frames of a source that is too fast."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def takes(self, stamp: float) -> bool:
        """Whether the next frame, of these seconds, is taken."""
        if self._last <= stamp < self._last + _CLOSEST:
            return False
        self._last = stamp
        return True


def without_pauses(frames: Iterator[tuple[float, Shown]]) -> Iterator[tuple[float, Shown]]:
    """Timed frames, each given again, evenly, while it stands for long."""
    before: tuple[float, Shown] | None = None
    for stamp, shown in frames:
        if before is not None and stamp - before[0] > _STANDS:
            count = ceil((stamp - before[0]) / LONGEST_STILL)
            for number in range(1, count):
                yield before[0] + (stamp - before[0]) * number / count, before[1]
        yield stamp, shown
        before = stamp, shown
