"""Which frame becomes the first source: all that the other side sees of a person hangs on it for a while.

Frames with a face are offered one by one. One that is plainly good is taken at once; otherwise the best of the first
second is. Motion blur is told by the movement since the frame before: how sharp a camera can be is not known yet.
"""

from __future__ import annotations

from sender.analysis import Analysis
from shared.motion import pose_distance

WINDOW_SECONDS = 1.0
"""How long a better frame is waited for, from the first one with a face."""
_OPEN = 0.08
"""Openness of eyes that are plainly open: nine people of ten have more when they look at the camera."""
_FRONTAL_DEGREES = 12.0
_STILL_SPEED = 25.0
"""Pose distance a second: less blurs no face."""
_NEARLY_SHARPEST = 0.9
_TURN_WORTH = 30.0
"""Degrees of turn that are as bad as closed eyes."""
_BLUR_WORTH = 0.5
"""All sharpness lost, in closed eyes: it varies by half in a second of talk even without blur."""


class FirstSource:
    """Chooses among the frames of the first second."""

    def __init__(self) -> None:
        self._frames: list[Analysis] = []
        self._began = self._clock = self._before = 0.0

    def offer(self, frame: Analysis, clock: float) -> Analysis | None:
        """The frame to send, once it is certain; None while a better one may come. `clock`: of the capture, seconds."""
        if self._frames and self._frames[-1].crop_number != frame.crop_number:
            self._frames = []  # the receiver draws the newest crop only
        if not self._frames:
            self._began = clock
        self._frames.append(frame)
        self._before, self._clock = self._clock, clock
        if self._plainly_good():
            self._frames = []
            return frame
        return self.best() if clock - self._began >= WINDOW_SECONDS else None

    def best(self) -> Analysis | None:
        """The best frame offered so far, for when no other will come; None if there was none. Begins anew."""
        frames, self._frames = self._frames, []
        if not frames:
            return None
        widest = max(f.quality.openness for f in frames)
        sharpest = max(f.quality.sharpness for f in frames)

        def flaws(frame: Analysis) -> float:
            seen = frame.quality
            closed = 1 - seen.openness / max(widest, 1e-6)
            blurred = 1 - seen.sharpness / max(sharpest, 1e-6)
            return closed + seen.turn / _TURN_WORTH + _BLUR_WORTH * blurred

        return min(frames, key=flaws)

    def _plainly_good(self) -> bool:
        if len(self._frames) < 2:
            return False
        before, frame = self._frames[-2:]
        seen = frame.quality
        return (
            seen.openness >= _OPEN
            and seen.turn <= _FRONTAL_DEGREES
            and pose_distance(before.motion, frame.motion) <= _STILL_SPEED * (self._clock - self._before)
            and seen.sharpness >= _NEARLY_SHARPEST * max(f.quality.sharpness for f in self._frames)
        )
