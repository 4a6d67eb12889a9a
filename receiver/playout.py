"""The playout buffer: bundles arrive in clumps, late or out of order; frames leave evenly, newest first when late.

Motion that comes at a lower rate than the picture's is interpolated linearly, but never across a frame that is
missing, a lost face or a change of the gallery. Times are seconds of the receiver's clock and passed in; the sender's
capture clock is only ever compared with itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from shared.audio.codec import PACKET_MS
from shared.codec.bundle import CLOCK_WRAP_MS, Bundle
from shared.motion import Motion, between

_WINDOW = 50
"""Bundles over which the delay is judged: ten seconds at five frames a bundle."""
_LATELY = 2.0
"""Seconds whose bundles say how the link is now: the time between two messages of statistics."""
_QUANTILE = 0.95
_MARGIN = 0.010
_MAX_EXTRA = 0.8
"""Seconds of jitter hidden at most; what comes later than that is late for good."""
_SHRINK = 0.02
"""Share of the excess delay given back per bundle once the link has calmed down."""
_MAX_SOUND_AGE = 0.2
"""Seconds of sound before its bundle's first frame that pictures wait for: older one had waited for a stuck link."""
_BOUND = 250
"""Frames held at most: ten seconds at 25 a second. A peer that sends further ahead loses the oldest."""
_MAX_STEP = 8
"""Camera frames per frame of motion up to which the ones between are made up."""
_ENOUGH = 30.0
"""Frames a second: of what a faster camera takes no more are made up, since each is to be drawn."""
_WRAP = 1 << 16


@dataclass(frozen=True, eq=False)
class DueFrame:
    """A frame to draw."""

    number: int
    """Counted from the first frame received, without wrapping; negative if an older one came after it."""
    capture: float
    """Capture time in seconds of the sender's clock, less a whole number of CLOCK_WRAP_MS."""
    epoch: int
    motion: Motion | None
    """None: no face in the picture."""


class _Arrival(NamedTuple):
    """A bundle that came. Transits are seconds from capture to arrival; the clocks' offset is in them."""

    at: float
    span: float
    """Seconds from the earliest frame that it makes possible to its last one: what bundling adds to the delay."""
    last_transit: float
    """Of its last frame, which does not depend on how many frames it has."""
    waited: float
    """Of that, what it may have waited here."""

    @property
    def transit(self) -> float:
        """Of its earliest frame."""
        return self.last_transit + self.span


class PlacedBundle(NamedTuple):
    """Where a bundle's first frame has its place, and how far apart its frames are."""

    number: int
    """As `DueFrame` has it."""
    capture: float
    """As `DueFrame` has it."""
    step: int
    """Frame numbers from one frame of motion to the next."""


@dataclass
class Playout:
    """Puts frames in order and says which one is due."""

    fps: float = 25.0
    """Frames a second that the camera takes and frame numbers count; motion that comes more slowly is interpolated."""
    late: int = 0
    """Frames that arrived after their time had passed."""
    late_here: int = 0
    """Frames that may have arrived in time, and were taken in when it had passed: this machine is busy."""
    skipped: int = 0
    """Frames in time that were not shown because a newer one was due."""
    sound_lead: float | None = None
    """Seconds before its picture at which sound must be there to be heard with it; None: it is not heard."""
    _frames: dict[int, DueFrame] = field(default_factory=dict)
    _received: dict[int, DueFrame] = field(default_factory=dict)
    """The last frames that came, shown or not: the ends of interpolation."""
    _arrivals: deque[_Arrival] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _delay: float | None = None
    _last_number: int | None = None
    _last_clock: int = 0
    _base: int = 0
    _skip: int = 0
    """Frame numbers to leave out before the next bundle's, which follows no number before it; 0 if it does."""
    _shown: int = -_WRAP  # a bundle older than the first to arrive has numbers below zero

    def add(self, bundle: Bundle, now: float, waited: float = 0.0) -> PlacedBundle:
        """Takes in a bundle at `now`; where it was put comes back. It may have `waited` here so many seconds."""
        first, clock = self._unwrap(bundle)
        interval = bundle.frame_interval_ms / 1000
        step = max(1, round(interval * self.fps))
        # The frames between the bundle before and this one can be made only now, and are due before its first.
        ahead = interval * (1 - 1 / step) if self._every < step <= _MAX_STEP else 0.0
        if self.sound_lead is not None:
            ahead = max(ahead, self.sound_lead + _sound_age(bundle))
        span = interval * (len(bundle.frames) - 1)
        self._arrivals.append(_Arrival(now, ahead + span, now - clock - span, waited))
        self._judge()
        for index, motion in enumerate(bundle.frames):
            frame = DueFrame(first + index * step, clock + index * interval, bundle.epoch, motion)
            if frame.number <= self._shown:
                here = waited > 0 and self._delay is not None and frame.capture + self._delay > now - waited
                self.late_here += here
                self.late += not here
            else:
                self._frames[frame.number] = frame
            self._received[frame.number] = frame
            self._fill(self._received.get(frame.number - step), frame, interval)
            self._fill(frame, self._received.get(frame.number + step), interval)
        for frames in (self._frames, self._received):
            while len(frames) > _BOUND:
                del frames[min(frames)]
        return PlacedBundle(first, clock, step)

    def motion_at(self, number: int, step: int, fits: Callable[[DueFrame], bool]) -> Motion | None:
        """The motion at a frame number, shown or not, by frames that came, show a face and fit.

        Between two it is made up, as for showing, even if others are missing there, but not where one came without a
        face; else the nearest within `step` counts. None if none is near.
        """
        if self.is_faceless(number):
            return None
        around = [self._received.get(n) for n in range(number - _MAX_STEP, number + _MAX_STEP + 1)]
        known = [(each.number, each.motion) for each in around if each and each.motion is not None and fits(each)]
        before, after = [each for each in known if each[0] <= number], [each for each in known if each[0] >= number]
        whole = bool(before and after) and not self.face_was_lost(before[-1][0], after[0][0])
        if whole and after[0][0] - before[-1][0] <= _MAX_STEP:
            (a, left), (b, right) = before[-1], after[0]
            return left if a == b else between(left, right, (number - a) / (b - a))
        nearest = min(known, key=lambda each: abs(each[0] - number), default=None)
        return nearest[1] if nearest is not None and abs(nearest[0] - number) <= step else None

    def is_faceless(self, number: int) -> bool:
        """Whether the frame of this number came, shown or not, and has no face in it."""
        frame = self._received.get(number)
        return frame is not None and frame.motion is None

    def face_was_lost(self, first: int, last: int) -> bool:
        """Whether a frame came that has no face, from one number to another."""
        return any(map(self.is_faceless, range(max(first, last - _BOUND), last + 1)))

    def begin_anew(self, now: float, skip: int | None = None) -> int:
        """The sender was started again, and numbers its frames from 0: what comes follows what came, after a pause.

        By how much numbers jump then comes back; `skip` says it, in a replay.
        """
        newest = max((each.at for each in self._arrivals), default=now)
        skip = round(max(0.0, now - newest) * self.fps) + _MAX_STEP if skip is None else skip
        self._skip = skip if self._last_number is not None else 0
        self._frames.clear()
        self._received.clear()
        self._arrivals.clear()
        self._delay = None
        return self._skip

    def due(self, now: float) -> DueFrame | None:
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

    def take(self, number: int) -> DueFrame | None:
        """A frame by its number, once, whatever the time; older ones are skipped. None if it is not there.

        For a replay of what `due` gave in a call.
        """
        frame = self._frames.get(number)
        if frame is not None:
            for n in [n for n in self._frames if n <= number]:
                del self._frames[n]
            self._shown = number
        return frame

    def next_time(self) -> float | None:
        """When the next frame is due, in seconds of the receiver's clock; None if none waits."""
        if not self._frames or self._delay is None:
            return None
        return self._frames[min(self._frames)].capture + self._delay

    @property
    def delay(self) -> float | None:
        """Seconds from capture to the moment a frame is due, the clocks' offset included; None before the first."""
        return self._delay

    @property
    def highest_frame(self) -> int | None:
        """16-bit number of the newest bundle's first frame; None before the first."""
        return None if self._last_number is None else (self._base + self._last_number) % _WRAP

    @property
    def extra_delay(self) -> float:
        """Seconds by which frames are held back beyond what the fastest bundle needs, to hide jitter."""
        return 0.0 if self._delay is None else max(0.0, self._delay - self._least())

    @property
    def behind(self) -> float:
        """Seconds by which bundles lately came behind the fastest: what waits in the link. A lost one hardly counts."""
        if not self._arrivals:
            return 0.0
        newest = max(each.at for each in self._arrivals)
        lately = [each.last_transit - each.waited for each in self._arrivals if newest - each.at <= _LATELY]
        return max(0.0, median(lately) - min(each.last_transit for each in self._arrivals))

    @property
    def waiting(self) -> int:
        """Frames in the buffer."""
        return len(self._frames)

    @property
    def _every(self) -> int:
        """Camera frames from one frame shown to the next, when some are made up."""
        return max(1, round(self.fps / _ENOUGH))

    def _fill(self, a: DueFrame | None, b: DueFrame | None, interval: float) -> None:
        """Makes the frames between two that follow each other, if both show a face and are drawn alike."""
        if a is None or b is None or a.motion is None or b.motion is None or a.epoch != b.epoch:
            return
        count = b.number - a.number
        if not 2 <= count <= _MAX_STEP or abs(b.capture - a.capture - interval) > interval / 2:
            return
        parts = -(-count // self._every)
        for part in range(1, parts):
            number, share = a.number + part * self._every, part / parts
            if number <= self._shown:
                continue
            capture = a.capture + share * (b.capture - a.capture)
            self._frames[number] = DueFrame(number, capture, a.epoch, between(a.motion, b.motion, share))

    def _least(self) -> float:
        """The delay that the fastest bundle would need if it were as long as the longest."""
        return min(each.last_transit for each in self._arrivals) + max(each.span for each in self._arrivals)

    def _judge(self) -> None:
        """Sets the delay so that nearly all bundles come in time: up at once, down slowly, to keep play smooth."""
        transits = [each.transit for each in self._arrivals]
        wanted = min(float(np.quantile(transits, _QUANTILE)), self._least() + _MAX_EXTRA) + _MARGIN
        if self._delay is None or wanted > self._delay:
            self._delay = wanted
        else:
            self._delay += _SHRINK * (wanted - self._delay)

    def _unwrap(self, bundle: Bundle) -> tuple[int, float]:
        """Frame number and capture seconds on axes that do not wrap; 16 and 20 bits travel."""
        if self._skip and self._last_number is not None:
            self._last_number, self._skip = max(self._last_number, self._shown) + self._skip, 0
            self._base = (bundle.first_frame - self._last_number) % _WRAP
        if self._last_number is None:
            self._last_number, self._last_clock = 0, bundle.clock_ms
            self._base = bundle.first_frame  # numbers count from here
        ahead = (bundle.first_frame - self._base - self._last_number + _WRAP // 2) % _WRAP - _WRAP // 2
        number = self._last_number + ahead
        half = CLOCK_WRAP_MS // 2
        clock_ahead = (bundle.clock_ms - self._last_clock + half) % CLOCK_WRAP_MS - half
        clock = self._last_clock + clock_ahead
        if ahead > 0:
            self._last_number, self._last_clock = number, clock
        return number, clock / 1000


def _sound_age(bundle: Bundle) -> float:
    """Seconds from the sound that comes with a bundle to its first frame, or that may come with such a one.

    A packet goes when it is full: it may have been full just after the last frame of the bundle before. It counts in
    silence, too, or pictures would stop for a moment whenever somebody begins to speak.
    """
    usual = PACKET_MS / 1000 + bundle.frame_interval_ms / 1000
    oldest = max((-each.start_ms / 1000 for each in bundle.sound if each.data), default=0.0)
    return min(max(usual, oldest), _MAX_SOUND_AGE)
