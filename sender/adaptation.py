"""How bundles, motion rate and pictures follow the link: what the receiver's statistics and the sender's queue say.

One sign is used for each thing. Bundles that come later than the fastest mean that something stands in a queue of the
link. What may go is then cut to what gets through, pictures stop until the queue has drained, and motion goes in
larger and fewer bundles; where there is a base layer, it goes at half its rate then, after that motion does, and at
last the base goes no more. On a calm link what may go grows again step by step, after each
step that was too much later than before. Bytes that wait on this side mean that the link takes nothing: then bundles
wait, too, and the oldest frames make room, so that what goes out in the end is new.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import NamedTuple

from sender.bundler import LONGEST_INTERVAL
from sender.frame_rate import LONGEST_SPAN
from sender.profiles import LARGEST_BUNDLE, BasePoint
from shared.codec.control import Stats
from shared.transport.link import CHUNK_HEADER, PACKET_HEADERS
from shared.transport.pacing import LATER_RATE

BUSY_MS = 250
"""Bundles this much behind: the link is full. A bundle alone at 8 kbit/s takes 150 longer than at 64."""
CALM_MS = 60
"""Up to this much there is room. The piece of a picture that shares a bundle's packet costs 78 at 16 kbit/s."""
BACKLOG = 300
"""Bytes waiting on this side above which no bundle is added: about two of them."""
PICTURE_RATES = (100.0, 2000.0)
"""Bytes/s that pictures get at least and at most."""
_CAUTIOUS_RATE = 400.0
"""For the next picture on a link on which bundles alone are late: it may be a quarter of what it was."""
SMALL_PICTURE = 128
"""Side of pictures on a link that does not carry what is usual: half the bytes of 256."""
SILENCE_SECONDS = 5.0
"""Without statistics for so long, twice what lies between two, pictures wait: where they go is not known."""

_GETS_THROUGH = 0.8
"""Share of what got through a full link that may go: the rest lets its queue drain."""
_DEEPEST_CUT = 0.5
"""Of what might go before: one stall, in which nothing gets through, is no measure of the link."""
_MOTION_SHARE = 0.6
"""Of what may go on a thin link; a picture would never arrive beside motion that takes all."""
_GROWTH, _CAREFUL_GROWTH = 1.35, 1.1
_CAREFUL = (0.95, 1.3)
"""Between these multiples of what got through when the link was last full, growth is careful: a queue that begins
there is seen before it is long."""
_GROWTH_SECONDS = 2.0
_TOO_MUCH_SECONDS = 10.0
"""A link that is full so soon after more was allowed did not carry it."""
_HOLDS = (8.0, 64.0)
"""Seconds without growth after it was too much: the first time, and at most; twice as long each time."""
_FALLS = 0.85
"""A queue this much shorter than at the last look drains by itself; what gets through is then no measure any more."""
_STANDS_SECONDS = 6.0
_STANDS_WITHIN = 0.15
"""Bundles that stay as late for so long, within this share, though little is sent: the way is longer, not its queue."""
_BUNDLES_KEPT = 64
_THROUGH_KEPT = 8
_MEASURED_SECONDS = 1.3
"""What gets through is measured over so long at least: it comes in whole bundles, of which a full link takes two a
second."""
_BUNDLE_OVERHEAD = PACKET_HEADERS + CHUNK_HEADER + 2
"""Bytes of a packet with one bundle, padding included."""
_TOO_DEAR_SECONDS = 60.0
_BASE_SHARE = 0.7
"""Of what a base layer may take, what it takes of most people."""
_SPAN_WITH_BASE = 0.4
"""Seconds that a bundle spans at most beside a base layer, which would be too old for most frames."""


class _Rung(NamedTuple):
    """How motion may go."""

    bundle: int
    step: int
    base: BasePoint | None = None


class _Went(NamedTuple):
    """A bundle that went."""

    first_frame: int
    age: float
    """Seconds from the capture of its last frame until it went."""


class _Mark(NamedTuple):
    """What had gone when a bundle went."""

    first_frame: int
    total: int


class LinkAdaptation:
    """Judges the link at each message of statistics. Rates are bytes/s on the wire, times seconds."""

    def __init__(
        self, bundle: int, step: int = 1, fps: float = 25.0, picture_size: int = 256, base: BasePoint | None = None
    ) -> None:
        """What is usual on a good link: frames of a bundle, of how many camera frames one goes, side of pictures, and
        the base layer."""
        self._usual, self._fps, self._usual_size = _Rung(bundle, step, base), fps, picture_size
        self._rung = self._usual
        self._bases: tuple[BasePoint | None, ...] = () if base is None else (base, *base.lower())
        self._too_dear, self._too_dear_until = 0, -inf
        """How many of these points are skipped, and until when."""
        self._rungs = self._possible()
        self._frame_bytes = 8.0
        self.picture_rate = LATER_RATE
        """For pictures now, while they do not wait."""
        self._limit = self._carried = inf
        """What may go, and what got through when the link was last full."""
        self._draining, self._last_behind = False, 0
        self._raised_at = self._heard_at = -inf
        self._raise_from = -inf
        self._hold = 0.0
        self._marks: deque[_Mark] = deque(maxlen=_BUNDLES_KEPT)
        self._total = 0
        self._through: deque[tuple[float, int]] = deque(maxlen=_THROUGH_KEPT)
        """When a bundle was known to be through, and what had gone with it, newest first."""
        self._went: deque[_Went] = deque(maxlen=_BUNDLES_KEPT)
        self._least_age = inf
        self._longer_ms = 0
        """By how much the way has become longer."""
        self._stands_ms, self._stands_since = 0, 0.0

    @property
    def bundle(self) -> int:
        """Frames of a bundle now."""
        return self._rung.bundle

    @property
    def step(self) -> int:
        """Of how many camera frames the motion of one goes now."""
        return self._rung.step

    @property
    def base(self) -> BasePoint | None:
        """The base layer now, None if none goes."""
        return self._rung.base

    @property
    def limited(self) -> bool:
        """Whether the link carries less than what is usual."""
        return self._limit < inf

    @property
    def picture_size(self) -> int:
        """Side of a picture that is made now."""
        return min(self._usual_size, SMALL_PICTURE) if self.limited else self._usual_size

    def pictures_wait(self, now: float) -> bool:
        """Whether no piece of a picture may go."""
        return self._draining or -inf < self._heard_at < now - SILENCE_SECONDS

    def sent(self, size: int, bundle: int | None, frames: int = 0, payload: int = 0, age: float | None = None) -> None:
        """So many bytes went, in packets on the wire.

        With them, if `bundle` is given, a bundle of so many `frames` and bytes whose first frame has this number, and
        whose last one was captured `age` seconds ago.
        """
        if bundle is not None and age is not None:
            self._went.append(_Went(bundle & 0xFFFF, age))
            self._least_age = min(self._least_age, age)
        self._total += size
        if bundle is not None:
            self._marks.append(_Mark(bundle & 0xFFFF, self._total))
        if frames:
            self._frame_bytes += 0.1 * (payload / frames - self._frame_bytes)

    def base_is_too_dear(self, now: float) -> None:
        """What is seen takes more than a base like this may have: for a while a cheaper one goes."""
        self._too_dear = min(self._bases.index(self._rung.base) + 1, len(self._bases)) if self._rung.base else 0
        self._too_dear_until = now + _TOO_DEAR_SECONDS
        self._choose(now)

    def give_up_base(self, now: float) -> None:
        """No base layer goes any more."""
        self._usual, self._bases = self._usual._replace(base=None), ()
        self._rungs = self._possible()
        self._choose(now)

    def judge(self, statistics: Stats, loaded: bool, now: float) -> None:
        """Takes in what the receiver says; `loaded`: since it last did, most bundles had a piece of a picture along."""
        self._heard_at = now
        own_ms = round(1000 * self.own_lateness(statistics.highest_frame))
        behind = self._behind(max(0, statistics.behind_ms - own_ms), now)
        gets_through = self._gets_through(statistics.highest_frame, now)
        if behind > BUSY_MS:
            if not self._draining or (gets_through is not None and behind > _FALLS * self._last_behind):
                self._cut(gets_through, now)
        else:
            self._draining = False
            if behind <= CALM_MS:
                self._grow(loaded, now)
            elif not (loaded or self.limited):
                self.picture_rate = min(self.picture_rate, _CAUTIOUS_RATE)
        self._last_behind = behind
        self._choose(now)

    def own_lateness(self, highest_frame: int | None) -> float:
        """Seconds by which the two newest bundles that have come both went later than the quickest: what a busy
        processor of this side's takes, which the receiver cannot tell from the link."""
        numbers = [each.first_frame for each in self._went]
        if highest_frame not in numbers:
            return 0.0
        last = len(numbers) - numbers[::-1].index(highest_frame)
        return min(each.age for each in list(self._went)[max(0, last - 2) : last]) - self._least_age

    def _cut(self, gets_through: float | None, now: float) -> None:
        if not self._draining:
            if now - self._raised_at < _TOO_MUCH_SECONDS:
                self._hold = min(max(2 * self._hold, _HOLDS[0]), _HOLDS[1])
            self._draining = True
        self._raise_from = now + self._hold
        before = min(self._limit, self._cost(self._rung) + self.picture_rate)
        allowed = _GETS_THROUGH * (before if gets_through is None else gets_through)
        least = self._cost(self._rungs[-1]) + PICTURE_RATES[0]
        self._limit = max(min(before, allowed), _DEEPEST_CUT * before, least)
        self._carried = self._limit / _GETS_THROUGH

    def _grow(self, loaded: bool, now: float) -> None:
        if not self.limited:
            if loaded:  # what a link carries that carries only motion is not known
                self.picture_rate = min(self.picture_rate * 1.5, PICTURE_RATES[1])
                self._raised_at = now
            return
        if now < max(self._raise_from, self._raised_at + _GROWTH_SECONDS - 0.1):
            return
        usual = self._cost(self._usual)
        if not loaded and self._limit * _MOTION_SHARE >= usual:
            return
        sure, far = (share * self._carried for share in _CAREFUL)
        if self._limit < sure:
            self._limit = min(self._limit * _GROWTH, sure)
        else:
            self._limit *= _CAREFUL_GROWTH if self._limit < far else _GROWTH
        self._raised_at = now
        if loaded and self._limit >= usual + PICTURE_RATES[1]:
            self._limit, self._hold = inf, 0.0

    def _choose(self, now: float) -> None:
        """What goes within the limit."""
        dear = self._bases[: self._too_dear] if now < self._too_dear_until else ()
        if not self.limited:
            left = [each for each in (*self._bases, None) if each not in dear]
            self._rung = self._usual._replace(base=left[0])
            return
        room = self._limit * (0.5 if self._draining else _MOTION_SHARE)
        fits = (rung for rung in self._rungs if self._cost(rung) <= room and rung.base not in dear)
        self._rung = next(fits, self._rungs[-1])
        self.picture_rate = min(max(self._limit - self._cost(self._rung), PICTURE_RATES[0]), PICTURE_RATES[1])

    def _behind(self, behind_ms: int, now: float) -> int:
        """How late bundles are, less what lies in a way that has become longer."""
        self._longer_ms = min(self._longer_ms, behind_ms)
        behind = behind_ms - self._longer_ms
        if not self._draining or abs(behind - self._stands_ms) > _STANDS_WITHIN * self._stands_ms:
            self._stands_ms, self._stands_since = behind, now
        elif now - self._stands_since > _STANDS_SECONDS:
            self._longer_ms, behind = behind_ms, 0
        return behind

    def _gets_through(self, highest_frame: int | None, now: float) -> float | None:
        """Bytes/s that came through lately; None where that is not known."""
        while self._marks and highest_frame is not None and self._marks[0].first_frame != highest_frame:
            if (highest_frame - self._marks[0].first_frame) % (1 << 16) >= 1 << 15:
                return None  # it is older than all that is known
            self._marks.popleft()
        if not self._marks or highest_frame is None:
            return None
        total = self._marks[0].total
        before = next((each for each in self._through if now - each[0] >= _MEASURED_SECONDS), None)
        self._through.appendleft((now, total))
        return None if before is None else (total - before[1]) / (now - before[0])

    def _cost(self, rung: _Rung, frame_bytes: float | None = None) -> float:
        """What motion takes."""
        frames = self._fps / rung.step
        base = 0.0 if rung.base is None else _BASE_SHARE * 125 * rung.base.kbps
        return frames / rung.bundle * _BUNDLE_OVERHEAD + frames * (frame_bytes or self._frame_bytes) + base

    def _possible(self) -> list[_Rung]:
        """From the dearest on: with each base layer, bundles of the usual motion and then of half as many frames, up
        to those of half a second; without one, all."""
        usual, found = self._usual, list[_Rung]()
        twice_as_far = 2 * usual.step / self._fps <= LONGEST_INTERVAL
        longest = max(LONGEST_SPAN, usual.bundle * usual.step / self._fps)
        for base in (*self._bases, None):
            longest_here = longest if base is None else max(_SPAN_WITH_BASE, usual.bundle * usual.step / self._fps)
            last = base is None or base is self._bases[-1]
            rungs = [
                _Rung(bundle, step, base)
                for step in ((usual.step, 2 * usual.step) if twice_as_far and last else (usual.step,))
                for bundle in range(usual.bundle, max(LARGEST_BUNDLE, usual.bundle) + 1)
                if bundle * step / self._fps <= longest_here + 1e-9
            ]
            cheaper = min((self._cost(rung, 8.0) for rung in found), default=inf)
            rungs = [rung for rung in rungs if self._cost(rung, 8.0) < cheaper]
            found += sorted(rungs, key=lambda rung: (-self._cost(rung, 8.0), rung.step))
        return found
