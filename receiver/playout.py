"""The playout buffer: bundles arrive in clumps, late or out of order; frames leave evenly, newest first when late.

Times are seconds of the receiver's clock and passed in; the sender's capture clock is only ever compared with itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from shared.codec.bundle import Bundle
from shared.motion import Motion

_WINDOW = 50
"""Bundles over which the delay is judged: ten seconds at five frames a bundle."""
_QUANTILE = 0.95
_MARGIN = 0.010
_MAX_EXTRA = 0.8
"""Seconds of jitter hidden at most; what comes later than that is late for good."""
_SHRINK = 0.02
"""Share of the excess delay given back per bundle once the link has calmed down."""
_BOUND = 250
"""Frames held at most: ten seconds at 25 a second. A peer that sends further ahead loses the oldest."""
_WRAP = 1 << 16
_CLOCK_WRAP = 1 << 32


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame to draw."""

    number: int
    """Counted from the first frame received, without wrapping; negative if an older one came after it."""
    capture: float
    """Capture time in seconds of the sender's clock."""
    epoch: int
    motion: Motion | None
    """None: no face in the picture."""


@dataclass
class Playout:
    """Puts frames in order and says which one is due."""

    late: int = 0
    """Frames that arrived after their time had passed."""
    skipped: int = 0
    """Frames in time that were not shown because a newer one was due."""
    _frames: dict[int, Frame] = field(default_factory=dict)
    _transits: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _delay: float | None = None
    _last_number: int | None = None
    _last_clock: int = 0
    _base: int = 0
    _shown: int = -_WRAP  # a bundle older than the first to arrive has numbers below zero

    def add(self, bundle: Bundle, now: float) -> None:
        """Takes in a bundle that arrived at `now`."""
        first, clock = self._unwrap(bundle)
        interval = bundle.frame_interval_ms / 1000
        self._judge(now - clock)
        for index, motion in enumerate(bundle.frames):
            number = first + index
            if number <= self._shown:
                self.late += 1
            else:
                self._frames[number] = Frame(number, clock + index * interval, bundle.epoch, motion)
        while len(self._frames) > _BOUND:
            del self._frames[min(self._frames)]

    def due(self, now: float) -> Frame | None:
        """The newest frame whose time has come, once; None if there is nothing new to show."""
        if self._delay is None:
            return None
        ready = [n for n, frame in self._frames.items() if frame.capture + self._delay <= now]
        if not ready:
            return None
        number = max(ready)
        self.skipped += len(ready) - 1
        frame = self._frames[number]
        for n in ready:
            del self._frames[n]
        self._shown = number
        return frame

    def next_time(self) -> float | None:
        """When the next frame is due, in seconds of the receiver's clock; None if none waits."""
        if not self._frames or self._delay is None:
            return None
        return self._frames[min(self._frames)].capture + self._delay

    @property
    def highest_frame(self) -> int | None:
        """16-bit number of the newest bundle's first frame; None before the first."""
        return None if self._last_number is None else (self._base + self._last_number) % _WRAP

    @property
    def extra_delay(self) -> float:
        """Seconds by which frames are held back beyond the fastest bundle, to hide jitter."""
        return max(0.0, (self._delay or 0.0) - min(self._transits, default=0.0))

    @property
    def waiting(self) -> int:
        """Frames in the buffer."""
        return len(self._frames)

    def _judge(self, transit: float) -> None:
        """Sets the delay so that nearly all bundles come in time: up at once, down slowly, to keep play smooth."""
        self._transits.append(transit)
        least = min(self._transits)
        wanted = min(float(np.quantile(self._transits, _QUANTILE)), least + _MAX_EXTRA) + _MARGIN
        if self._delay is None or wanted > self._delay:
            self._delay = wanted
        else:
            self._delay += _SHRINK * (wanted - self._delay)

    def _unwrap(self, bundle: Bundle) -> tuple[int, float]:
        """Frame number and capture seconds on axes that do not wrap; 16 and 32 bits travel."""
        if self._last_number is None:
            self._last_number, self._last_clock = 0, bundle.clock_ms
            self._base = bundle.first_frame  # numbers count from here
        ahead = (bundle.first_frame - self._base - self._last_number + _WRAP // 2) % _WRAP - _WRAP // 2
        number = self._last_number + ahead
        clock_ahead = (bundle.clock_ms - self._last_clock + _CLOCK_WRAP // 2) % _CLOCK_WRAP - _CLOCK_WRAP // 2
        clock = self._last_clock + clock_ahead
        if ahead > 0:
            self._last_number, self._last_clock = number, clock
        return number, clock / 1000
