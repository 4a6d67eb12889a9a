"""How far the sender's clock is from ours, by the fastest round trip lately. Times are seconds, passed in."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_BUCKET = 25.0
_BUCKETS = 12
"""The fastest of the last five minutes counts: by then clocks that differ by 50 millionths are 15 ms apart."""


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
