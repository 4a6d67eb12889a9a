"""How far bundles lately came behind the fastest: what stands in a queue of the link. Times are seconds, passed in."""

from __future__ import annotations

from collections import deque

URGENT = 0.25
"""Seconds behind from which the sender is told at once: a queue that has begun grows with every bundle."""
URGENT_EVERY = 0.7
"""Seconds between two such messages, which cost a packet each on the way back."""
_BUCKET = 25.0
_BUCKETS = 12
"""The fastest of the last five minutes counts. Longer, and clocks drift apart; shorter, and a slow link is soon taken
for a long one, and tried with more than it carries."""
_ANOTHER_CLOCK = 120.0
"""Seconds that no link holds a bundle: the sender's clock began anew."""


class LinkLag:
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
