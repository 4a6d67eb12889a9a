"""How long a message may have waited in this machine before this program took it in: on a busy processor what was
there in time is seen late, and the link must not be blamed for that. Times are seconds, passed in."""

from __future__ import annotations

from collections import deque

from shared.session.call import TICK_SECONDS

_STEPS_SECONDS = 0.06
"""A message comes to us in steps, between which others run: it may have waited through what is over for so long."""
_LATELY = 2.0
"""Seconds that `lately` looks back: between two messages of statistics."""


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
