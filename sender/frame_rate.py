"""The frame rate: what is announced of a source, which frames go, and how fast they really come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from statistics import median
from typing import TypeVar

from sender.profiles import LARGEST_BUNDLE

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
_KEPT = 9
"""Intervals of which the middle one counts: neither a frame that is missing nor a stop changes it."""
_ENOUGH = 30.0
"""Frames a second that may go although the camera announced fewer, where all are to go."""
_NEARLY = 0.45
"""A camera that is faster than what is to go loses every second frame only from 1.55 times as fast on: what comes
evenly stays even."""
LONGEST_SPAN = 0.8
"""Seconds that a bundle may span."""


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


class Cadence:
    """The pace of a call's frames. Clocks are seconds of the frames' clock."""

    def __init__(self, fps: float, step: int) -> None:
        """What was announced: frames a second, and of how many of them one usually goes."""
        self._fps, self._usual_step = fps, step
        self._intervals: deque[float] = deque(maxlen=_KEPT)
        self._last: float | None = None
        self._count = 0
        """Of camera frames, those that are missing included: every so many of them one goes."""

    @property
    def camera(self) -> float:
        """Seconds between two frames of the camera, lately."""
        return median(self._intervals) if self._intervals else 1 / self._fps

    def interval(self, step: int) -> float:
        """Seconds between two frames that go."""
        return self.camera * self._one_in(step)

    def goes(self, clock: float, step: int) -> bool:
        """Whether the next frame, captured at `clock`, goes where one of `step` announced frames would."""
        before, one_in = self._count, self._one_in(step)
        if self._last is None or clock <= self._last:  # the first, or the clock was set back
            before, self._count = -1, 0
        else:
            self._count += max(1, round((clock - self._last) / self.camera))
            self._intervals.append(clock - self._last)
        self._last = clock
        return self._count // one_in > before // one_in

    def span(self, frames: int, step: int) -> float:
        """Seconds that a bundle would span if the camera gave what it announced."""
        return min(frames * step / self._fps, max(LONGEST_SPAN, self.interval(step)))

    def bundle(self, frames: int, step: int) -> int:
        """Frames that span the same time at the pace at which they come."""
        return min(max(1, int(self.span(frames, step) / self.interval(step) + 0.5)), max(frames, LARGEST_BUNDLE))

    def _one_in(self, step: int) -> int:
        """Of how many camera frames one goes."""
        usual = self._usual_step
        wanted = usual / self._fps if usual > 1 else 1 / max(self._fps, _ENOUGH)
        return max(1, int(wanted / self.camera + _NEARLY)) * max(1, step // usual)
