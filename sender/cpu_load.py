"""What a sender leaves out that has too little of a processor, in this order: what is nice to have goes first, then
pictures, then every second frame. Sound never goes, nor motion altogether. Times are seconds and passed in."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

LATE = 0.1
"""From a frame's capture until it is taken in to be sent: from there on too much is done. Analysing takes 0.02."""
IN_TIME = 0.05
"""Up to this much there is room for more."""
_ANOTHER_CLOCK = 10.0
"""No frame waits for so long: its clock is not the one it is compared with, or the machine was asleep."""
_STEP_SECONDS = 0.4
"""From one thing left out to the next: what that brought is to be seen first."""
_CALM_SECONDS = 1.0
"""For which every frame must be in time before something is taken up again."""
_HOLDS = (1.0, 16.0)
"""Seconds before something is taken up again that was too much just after: the first time, and at most; twice as long
each time."""
_FORGET_SECONDS = 30.0
"""Without anything left out, after which the next time is as the first."""
_TOO_MUCH_SECONDS = 3.0
"""Late so soon after something was taken up again: that was it."""


class Spare(IntEnum):
    """What is left out; everything before it, too."""

    NOTHING = 0
    LOOKS = 1
    """At what the receiver draws."""
    SOURCES = 2
    """But for the first, one that is asked for, and those of a new crop."""
    BASE = 3
    FRAMES = 4
    """Every second one is not analysed; the receiver makes up the motion in between."""


class LoadControl:
    """Follows how late frames are."""

    def __init__(self) -> None:
        self.spare = Spare.NOTHING
        self.leaves_out = 0
        """How often something more was left out."""
        self._two: deque[float] = deque(maxlen=2)
        self._late_at = self._changed_at = self._taken_up_at = float("-inf")
        self._hold = 0.0

    def note(self, late: float, now: float) -> None:
        """A frame is taken in at `now`, so long after its capture."""
        if late > _ANOTHER_CLOCK:
            return
        self._two.append(late)
        if late > IN_TIME:
            self._late_at = now
        if len(self._two) == 2 and min(self._two) > LATE:
            self._leave_out(now)
        elif self.spare and now - max(self._late_at, self._changed_at) >= max(_CALM_SECONDS, self._hold):
            self.spare = Spare(self.spare - 1)
            self._changed_at = self._taken_up_at = now
        elif not self.spare and now - self._taken_up_at > _FORGET_SECONDS:
            self._hold = 0.0

    def _leave_out(self, now: float) -> None:
        if now - self._changed_at < _STEP_SECONDS or self.spare is Spare.FRAMES:
            return
        if now - self._taken_up_at < _TOO_MUCH_SECONDS:
            self._hold = min(max(2 * self._hold, _HOLDS[0]), _HOLDS[1])
        self.spare = Spare(self.spare + 1)
        self._changed_at, self.leaves_out = now, self.leaves_out + 1
