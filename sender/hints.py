"""What the caller can do for a better picture, in two words: from camera frames and the heads in them to a hint.

Pure: `look` takes arrays, `Hints` decides over time. A hint has two thresholds, one to come and one to go, and must be
wanted for a while before it is shown: it does not flicker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

import cv2
import numpy as np

from sender.crop import ENLARGE
from sender.detect import Box, Image

PATIENCE = 0.6
"""Seconds that something else must be the case before the hint changes; the detector misses a face now and then."""
SMALL_CROP = (192.0, 216.0)
"""Pixels of the crop's side. A source of 256 pixels made of fewer is enlarged by a third, which shows."""
LARGE_HEAD = (0.72, 0.66)
"""Share of the picture's short side that the head takes: above, hair or chin are cut off (`crop.HEAD_BAND`)."""
DARK_FACE = (45.0, 58.0)
"""Mean grey level of the face, 0..255. Faces of the clips that are well lit have 74 to 159; noise begins to travel
as expression where they have half."""
DARK_ROOM = (30.0, 40.0)
"""Of the whole picture where no face is found: the detector sees nothing below 25."""
FAST_HEAD = (1.0, 0.6)
"""Head widths a second, of the head's middle. A lively talker has 0.4; from 1 on pictures are blurred."""
SECOND_HEAD = (0.6, 0.5)
"""Size of the second head over the first: someone far behind does no harm."""
_LOOKS = 3
"""Looks whose median speed counts: the detector's box jumps."""


WITHOUT_FACE = (
    "let the face be lit and take a good part of the picture, as --preview shows it; --framing none takes pictures as "
    "they are."
)


def no_face(source: str) -> str:
    """The beginning of a sentence that goes on with what came of it, and ends in `WITHOUT_FACE`."""
    return f"no face was seen in '{source}'"


class Hint(StrEnum):
    """Worst first: while one is true the next ones do not matter."""

    TOO_DARK = "too dark"
    NO_FACE = "no face"
    TWO_FACES = "two faces"
    MOVE_BACK = "move back"
    MOVE_CLOSER = "move closer"
    HOLD_STILL = "hold still"


ADVICE = {
    Hint.TOO_DARK: "a lamp or a window in front of you helps",
    Hint.NO_FACE: "look into the camera, from an arm's length or two",
    Hint.TWO_FACES: "only one of you is sent, the nearer one",
    Hint.MOVE_BACK: "the whole head should be in the square",
    Hint.MOVE_CLOSER: "your face is too small to be sharp",
    Hint.HOLD_STILL: "for a sharp first picture",
}


@dataclass(frozen=True)
class Seen:
    """What a hint needs to know of a frame."""

    light: float
    """Mean grey level, 0..255: of the face, or of the whole picture if there is none."""
    head: Box | None
    """The largest head."""
    second: float
    """Size of the second head over the first; 0 if there is none."""
    crop_side: float
    """Pixels of the camera picture that the crop would like to have, at most as many as there are."""
    share: float
    """Of the picture's short side that the head takes."""


def look(rgb: Image, heads: Sequence[Box]) -> Seen:
    """What an (H, W, 3) uint8 RGB picture shows, with its heads, largest first, as `detect.find_heads` gives them."""
    height, width = rgb.shape[:2]
    if not heads:
        return Seen(_light(rgb), None, 0.0, 0.0, 0.0)
    head, short = heads[0], min(height, width)
    left, top = max(0, round(head.x)), max(0, round(head.y))
    face = rgb[top : max(top + 1, round(head.y + head.side)), left : max(left + 1, round(head.x + head.side))]
    second = heads[1].side / head.side if len(heads) > 1 else 0.0
    return Seen(_light(face), head, second, min(ENLARGE * head.side, short), head.side / short)


@dataclass
class Hints:
    """The hint over time. Times are seconds of any steady clock, and passed in."""

    shown: Hint | None = None
    """The hint to show now; None: all is well."""
    _wanted: Hint | None = None
    _since: float = float("-inf")
    _before: tuple[float, Box] | None = None
    _speeds: deque[float] = field(default_factory=lambda: deque(maxlen=_LOOKS))

    def update(self, seen: Seen, now: float) -> Hint | None:
        """Takes in a look at `now`; the hint to show from now on."""
        self._measure_speed(seen.head, now)
        wanted = self._judge(seen)
        if wanted is not self._wanted:
            self._wanted, self._since = wanted, now
        if self._wanted is not self.shown and now - self._since >= PATIENCE:
            self.shown = self._wanted
        return self.shown

    def _measure_speed(self, head: Box | None, now: float) -> None:
        if head is None:
            self._before = None
            self._speeds.clear()
            return
        if self._before is not None and now > self._before[0]:
            self._speeds.append(self._before[1].distance(head) / (now - self._before[0]))
        self._before = (now, head)

    def _judge(self, seen: Seen) -> Hint | None:
        head = seen.head is not None
        speed = median(self._speeds) if len(self._speeds) == _LOOKS else 0.0
        cases = {
            Hint.TOO_DARK: self._below(Hint.TOO_DARK, seen.light, DARK_FACE if head else DARK_ROOM),
            Hint.NO_FACE: not head,
            Hint.TWO_FACES: self._above(Hint.TWO_FACES, seen.second, SECOND_HEAD),
            Hint.MOVE_BACK: self._above(Hint.MOVE_BACK, seen.share, LARGE_HEAD),
            Hint.MOVE_CLOSER: self._below(Hint.MOVE_CLOSER, seen.crop_side, SMALL_CROP),
            Hint.HOLD_STILL: self._above(Hint.HOLD_STILL, speed, FAST_HEAD),
        }
        return next((hint for hint in Hint if cases[hint]), None)

    def _below(self, hint: Hint, value: float, limits: tuple[float, float]) -> bool:
        return value < limits[self.shown is hint]

    def _above(self, hint: Hint, value: float, limits: tuple[float, float]) -> bool:
        return value > limits[self.shown is hint]


def _light(rgb: Image) -> float:
    return float(np.mean(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)))
