"""The delays of a call of any length, in memory of a fixed size."""

from __future__ import annotations

from array import array
from collections import deque

KEPT = 1 << 16
"""Delays in all: of a call longer than 44 minutes at 25 a second only every second is kept, of a longer one every
fourth, and so on, evenly from its beginning."""
LATEST = 64
"""Of which no one is left out yet."""


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
