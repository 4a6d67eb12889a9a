"""How fast frames really come, whatever the camera says: which of them go, and how many share a bundle."""

from __future__ import annotations

from collections import deque
from statistics import median

from sender.profile import LARGEST_BUNDLE

_KEPT = 9
"""Intervals of which the middle one counts: neither a frame that is missing nor a stop changes it."""
_ENOUGH = 30.0
"""Frames a second that may go although the camera announced fewer, where all are to go."""
_NEARLY = 0.45
"""A camera that is faster than what is to go loses every second frame only from 1.55 times as fast on: what comes
evenly stays even."""
LONGEST_SPAN = 0.8
"""Seconds that a bundle may span."""


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
