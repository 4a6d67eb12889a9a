"""Where each picture belongs in a recording of even frames: by the sender's clock, not by counting."""

from __future__ import annotations

from math import ceil

LEAST_RATE = 5.0
"""Frames a second of a recording at least, so that a camera that announces less is placed well."""
_SET_BACK = 0.5
"""Seconds: what is captured so much before the picture before it has another clock."""


def film_rate(fps: float) -> float:
    """Frames a second of the recording of a call that announces `fps`: a whole multiple of them."""
    return fps * ceil(LEAST_RATE / fps)


class Places:
    """Places of pictures, counted in frames from the beginning of the recording."""

    def __init__(self, rate: float, longest_gap: int) -> None:
        """`rate`: frames a second; `longest_gap`: frames that a hole between two pictures lasts at most."""
        self._rate, self._longest_gap = rate, longest_gap
        self.origin: float | None = None
        """Capture at the beginning of the recording."""
        self.last = -1

    def step(self, first: int, capture: float) -> int:
        """The place of a picture captured at `capture` seconds: that of the one before if it has none of its own.

        The first picture is at `first`, and those before it are taken to look alike.
        """
        if self.origin is None:
            self.last = max(first, 0)
            self.origin = capture - self.last / self._rate
            return self.last
        ahead = round((capture - self.origin) * self._rate) - self.last
        if ahead < -_SET_BACK * self._rate or ahead > self._longest_gap:  # another clock, or the hole is made shorter
            self.last += 1 if ahead < 0 else self._longest_gap
            self.origin = capture - self.last / self._rate
        else:
            self.last += max(ahead, 0)
        return self.last
