"""Delay: the sender's clock, the queue of the link, and how late this machine is itself. Times are seconds, passed in.

On a busy processor what was there in time is seen late, and the link must not be blamed for that.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import NamedTuple

from shared.call.loop import TICK_SECONDS

_STEPS_SECONDS = 0.06
"""A message comes to us in steps, between which others run: it may have waited through what is over for so long."""
_LATELY = 2.0
"""Seconds that `lately` looks back: between two messages of statistics."""
_BUCKET = 25.0
_BUCKETS = 12
"""The fastest of the last five minutes counts: by then clocks that differ by 50 millionths are 15 ms apart."""
URGENT = 0.25
"""Seconds behind from which the sender is told at once: a queue that has begun grows with every bundle."""
URGENT_EVERY = 0.7
"""Seconds between two such messages, which cost a packet each on the way back."""
"""The fastest of the last five minutes counts. Longer, and clocks drift apart; shorter, and a slow link is soon taken
for a long one, and tried with more than it carries."""
_ANOTHER_CLOCK = 120.0
"""Seconds that no link holds a bundle: the sender's clock began anew."""
KEPT = 1 << 16
"""Delays in all: of a call longer than 44 minutes at 25 a second only every second is kept, of a longer one every
fourth, and so on, evenly from its beginning."""
LATEST = 64
"""Of which no one is left out yet."""


class Attention:
    """Judges by the loop that should look every `TICK_SECONDS`: when it looks late, so does everything."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque()
        """When the loop looked lately, and how much later than it should have."""

    def look(self, now: float) -> None:
        """The loop looks."""
        self._looks.append((now, self._late(now)))
        while self._looks[0][0] < now - _LATELY:
            self._looks.popleft()

    def waited(self, now: float) -> float:
        """Seconds for which a message that is taken in now may have been here already; 0 before the first look."""
        late = self._late(now)
        for at, each in reversed(self._looks):
            if at < now - _STEPS_SECONDS:
                break
            late = max(late, each)
        return late

    @property
    def lately(self) -> float:
        """Seconds by which the loop looked late at the worst of the last `_LATELY`."""
        return max((late for _, late in self._looks), default=0.0)

    def _late(self, now: float) -> float:
        return max(0.0, now - self._looks[-1][0] - TICK_SECONDS) if self._looks else 0.0


class _Trip(NamedTuple):
    bucket: int
    seconds: float
    """That the question and its answer took."""
    offset: float


class ClockOffset:
    """Judges by the fastest of the round trips in a window: what stood in no queue took as long there as back."""

    def __init__(self) -> None:
        self._fastest: deque[_Trip] = deque(maxlen=_BUCKETS)
        """In each of the last buckets of time in which one ended."""

    def add(self, theirs: float, asked: float, now: float) -> None:
        """Their clock said `theirs` between the question at `asked` and the answer now (NTP, RFC 5905 section 8, one
        server timestamp)."""
        if asked > now:
            return
        trip = _Trip(int(now // _BUCKET), now - asked, (asked + now) / 2 - theirs)
        if not self._fastest or self._fastest[-1].bucket != trip.bucket:
            self._fastest.append(trip)
        elif trip.seconds < self._fastest[-1].seconds:
            self._fastest[-1] = trip
        while self._fastest[0].bucket <= trip.bucket - _BUCKETS:
            self._fastest.popleft()

    @property
    def seconds(self) -> float | None:
        """To add to the sender's clock to have ours; None until it is known. Of equals the newest counts."""
        if not self._fastest:
            return None
        return min(reversed(self._fastest), key=lambda trip: trip.seconds).offset


class QueueDelayEstimator:
    """Judges by the two newest bundles that overtook none: what is repeated after a loss, or held up alone, says
    nothing about the others; both of two are late only when something stands before them."""

    def __init__(self) -> None:
        self._newest = float("-inf")
        self._lately: deque[float] = deque(maxlen=2)
        self._fastest: deque[tuple[int, float]] = deque(maxlen=_BUCKETS)
        """The least transit in each of the last buckets of time in which some came."""

    def add(self, captured: float, now: float, waited: float = 0.0) -> None:
        """A bundle is taken in whose last frame was captured at `captured`, on the sender's clock, which may be any.

        It may have `waited` here before: of that nothing is put down to the link.
        """
        transit = now - captured
        if self._lately and abs(transit - self._lately[-1]) > _ANOTHER_CLOCK:
            self.__init__()  # type: ignore[misc]
        if captured <= self._newest:
            return
        self._newest = captured
        self._lately.append(transit - waited)
        bucket = int(now // _BUCKET)
        if not self._fastest or self._fastest[-1][0] != bucket:
            self._fastest.append((bucket, transit))
        elif transit < self._fastest[-1][1]:
            self._fastest[-1] = (bucket, transit)
        while self._fastest[0][0] <= bucket - _BUCKETS:
            self._fastest.popleft()

    @property
    def behind(self) -> float:
        """Seconds; 0 before the first bundle."""
        return max(0.0, min(self._lately) - min(least for _, least in self._fastest)) if self._lately else 0.0


class Delays:
    """Seconds, or any other numbers, in the order in which they came."""

    def __init__(self, kept: int = KEPT) -> None:
        """`kept`: how many at most, an even number."""
        self._kept, self._bound = array("d"), kept
        self._latest: deque[float] = deque(maxlen=LATEST)
        self._every, self._count = 1, 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def add(self, value: float) -> None:
        """One more."""
        self._latest.append(value)
        if self._count % self._every == 0:
            if len(self._kept) >= self._bound:
                self._kept = self._kept[::2]
                self._every *= 2
            if self._count % self._every == 0:
                self._kept.append(value)
        self._count += 1

    def all(self) -> list[float]:
        """Those kept, of the whole call."""
        return list(self._kept)

    def latest(self, count: int) -> list[float]:
        """The last ones, at most `LATEST`."""
        return list(self._latest)[-count:]
