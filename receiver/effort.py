"""How many sources a frame is drawn from: two are better than one, but a frame that comes late is worth nothing."""

from __future__ import annotations

from dataclasses import dataclass

from shared.mixture import MOST

RETRY_SECONDS = 20.0
"""After which a machine that was too slow is given another chance: something else may have kept it busy."""
_WEIGHT = 0.1
"""Of the newest frame in the running mean."""
_ENOUGH = 10
"""Frames after which the mean is believed."""


@dataclass
class Effort:
    """Times are seconds and passed in."""

    limit: float
    """Seconds that drawing a frame may take."""
    most: int = MOST
    """Sources that a frame should be drawn from, but for those that fade out."""
    _mean: float = 0.0
    _frames: int = 0
    _since: float = 0.0

    def note(self, sources: int, seconds: float, now: float) -> None:
        """A frame was drawn from so many sources in so many seconds."""
        if self.most == 1 and now - self._since > RETRY_SECONDS:
            self.most, self._frames, self._mean = MOST, 0, 0.0
        if sources < 2 or self.most == 1:
            return
        self._frames += 1
        self._mean += (seconds - self._mean) * max(_WEIGHT, 1 / self._frames)
        if self._frames >= _ENOUGH and self._mean > self.limit:
            self.most, self._since = 1, now
