"""Whether the face that was there is still there, told of every frame from what the motion network read in it.

A motion network reads a face in anything. In a wall or a hand it reads one whose canonical keypoints are not those of
the person, and what is seen where it puts the face does not look like the face that the detector confirmed. Both cost a
tenth of a millisecond; only where either departs is the detector asked, which has the last word.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from sender.detect import Box, Image
from shared.motion import FloatArray

_SIDE = 24
"""Pixels at which faces are compared: eyes, nose and mouth, no expression."""
_SMOOTH = 4.0
"""Pixels of the Gaussian whose picture is taken off: a palm is as bright in its middle as a face is."""
_FLAT = 2.0
"""Grey levels of contrast that count as none."""
_KNOWN = 6
"""Views compared with: a head turns, light changes."""
_FOLLOWS = 0.1
"""Share in which the canonical keypoints of a confirmed frame replace those before."""


class Presence:
    """What the detector confirmed of one person, and how far a frame is from it."""

    def __init__(self) -> None:
        self._views: deque[FloatArray] = deque(maxlen=_KNOWN)
        self._canonical: FloatArray | None = None

    @property
    def knows(self) -> bool:
        """Whether anything was confirmed."""
        return bool(self._views)

    def confirm(self, view: FloatArray, canonical: FloatArray) -> None:
        """A face was seen by the detector in the frame with this view and these (K, 3) canonical keypoints."""
        self._views.append(view)
        if self._canonical is None or self._canonical.shape != canonical.shape:
            self._canonical = canonical
        else:
            self._canonical = self._canonical + np.float32(_FOLLOWS) * (canonical - self._canonical)

    def likeness(self, view: FloatArray) -> float:
        """Correlation with the most similar confirmed view: 1 alike, 0 something else."""
        return max((float(np.vdot(view, known)) for known in self._views), default=0.0)

    def strangeness(self, canonical: FloatArray) -> float:
        """RMS distance of (K, 3) canonical keypoints from the confirmed ones; a face is about 2 high."""
        if self._canonical is None or self._canonical.shape != canonical.shape:
            return 0.0
        return float(np.sqrt(np.mean(np.square(canonical - self._canonical))))


def face_view(rgb: Image, head: Box) -> FloatArray:
    """(24, 24) of length 1 at most: what is in a head box of an (H, W, 3) picture, without light and contrast.

    Where there is next to no contrast it is nearly zero, and like nothing. Outside the picture its edge goes on.
    """
    height, width = rgb.shape[:2]
    left, right = (int(np.clip(v, 0, width)) for v in (head.x, head.x + head.side + 1))
    top, bottom = (int(np.clip(v, 0, height)) for v in (head.y, head.y + head.side + 1))
    if right - left < 2 or bottom - top < 2:
        return np.zeros((_SIDE, _SIDE), np.float32)
    scale = _SIDE / head.side
    part = cv2.cvtColor(np.ascontiguousarray(rgb[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    place = np.array([[1, 0, (left - head.x) * scale], [0, 1, (top - head.y) * scale]], np.float32)
    grey = cv2.warpAffine(small.astype(np.float32), place, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _SMOOTH)
    return np.asarray(fine / np.sqrt(np.sum(np.square(fine)) + (_FLAT * _SIDE) ** 2), np.float32)
