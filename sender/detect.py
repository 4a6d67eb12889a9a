"""Face detection with the Haar cascades that OpenCV carries (Viola and Jones 2001), and presence: is it still there?

No network, no download. Presence is told of every frame from what the motion network read in it.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.motion import FloatArray

Image = NDArray[np.uint8]
LONG_SIDE = 320
"""Pixels to which a whole picture is reduced before the search."""
SMALLEST_SHARE = 1 / 8
"""A head smaller than this share of the picture's short side is not searched for: nobody calls from that far."""
NEAR_SIDE = 60
"""Pixels to which a known head is reduced before it is looked for again in its surroundings."""
EDGE, CLOSE = 0.3, 0.4
"""Shares of the short side: how far what is at its edge is continued when no face is found, and from which size on one
is looked for then. Of 24 pictures of three faces that fill a 16:9 frame it finds all, without it 11."""
TILTS = (-25.0, 25.0)
"""Degrees to which the surroundings are turned when nothing upright is found; the cascades bear about 15."""
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


class Box(NamedTuple):
    """A square head box in pixels of the picture."""

    x: float
    y: float
    side: float

    @property
    def centre(self) -> tuple[float, float]:
        """x and y of the middle."""
        return self.x + self.side / 2, self.y + self.side / 2

    def distance(self, other: Box) -> float:
        """Distance of the centres in units of this box's side."""
        (ax, ay), (bx, by) = self.centre, other.centre
        return float(np.hypot(ax - bx, ay - by) / self.side)


def find_heads(rgb: Image) -> list[Box]:
    """The heads in an (H, W, 3) uint8 RGB picture, largest first; frontal faces, else profiles of either side."""
    height, width = rgb.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    grey = _grey(rgb, scale)
    short = min(grey.shape)
    found = _search(grey, max(24, round(short * SMALLEST_SHARE)), short)
    if not found:  # a face at the edge, or one that fills the picture
        edge = round(EDGE * short)
        beside = np.asarray(cv2.copyMakeBorder(grey, *4 * (edge,), cv2.BORDER_REPLICATE), np.uint8)
        wide = _search(beside, round(CLOSE * short), round(1.3 * short))
        found = [box for box in (Box(x - edge, y - edge, side) for x, y, side in wide) if _is_inside(box, grey)]
    return [Box(x / scale, y / scale, side / scale) for x, y, side in found]


def find_near(rgb: Image, head: Box) -> Box | None:
    """The head nearest to a known one, of similar size and at most one head away; None if there is none.

    Far cheaper than `find_heads`, and finds heads leaned to the side too.
    """
    height, width = rgb.shape[:2]
    cx, cy = head.centre
    reach, over = 1.5 * head.side, round(0.5 * head.side)
    left, right = (int(np.clip(v, 0, width)) for v in (cx - reach, cx + reach))
    top, bottom = (int(np.clip(v, 0, height)) for v in (cy - reach, cy + reach))
    scale = min(1.0, NEAR_SIDE / head.side)
    if min(right - left, bottom - top) * scale < 24:
        return None
    grey = _grey(rgb[top:bottom, left:right], scale)
    overhangs = head.x < 0 or head.y < 0 or head.x + head.side > width or head.y + head.side > height
    if overhangs:
        edge = round(over * scale)
        grey = np.asarray(cv2.copyMakeBorder(grey, *4 * (edge,), cv2.BORDER_REPLICATE), np.uint8)
        left, top = left - over, top - over
    smallest, largest = max(24, round(0.6 * head.side * scale)), round(1.7 * head.side * scale)
    found = _search(grey, smallest, largest) or _search_tilted(grey, smallest, largest)
    boxes = [Box(left + x / scale, top + y / scale, side / scale) for x, y, side in found]
    near = [box for box in boxes if head.distance(box) < 1 and _is_inside(box, rgb[..., 0])]
    return min(near, key=head.distance, default=None)


def _is_inside(box: Box, grey: Image) -> bool:
    """Whether the middle of a box is in the picture, with a margin: half a face is none."""
    return all(
        0.3 * box.side < v < length - 0.3 * box.side for v, length in zip(box.centre, grey.shape[::-1], strict=True)
    )


@lru_cache
def _cascade(name: str, thread: int) -> cv2.CascadeClassifier:
    """One for each thread: a cascade keeps what it works on in itself."""
    folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
    return cv2.CascadeClassifier(str(folder / f"haarcascade_{name}.xml"))


def _grey(rgb: Image, scale: float) -> Image:
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _search(grey: Image, smallest: int, largest: int) -> list[Box]:
    """Boxes in pixels of `grey`, largest first. Slower cascades are asked only when the faster ones see nothing."""
    frontal = _run("frontalface_alt2", grey, smallest, largest) or _run("frontalface_default", grey, smallest, largest)
    if frontal:
        return frontal
    mirrored = np.ascontiguousarray(grey[:, ::-1])  # the profile cascade knows only one side
    right = [Box(grey.shape[1] - b.x - b.side, b.y, b.side) for b in _run("profileface", mirrored, smallest, largest)]
    return _without_duplicates(_run("profileface", grey, smallest, largest) + right)


def _search_tilted(grey: Image, smallest: int, largest: int) -> list[Box]:
    height, width = grey.shape
    for tilt in TILTS:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, 1.0)
        turned = np.asarray(cv2.warpAffine(grey, turn, (width, height)), np.uint8)
        found = _run("frontalface_alt2", turned, smallest, largest)
        if found:
            back = cv2.invertAffineTransform(turn)
            centres = [back @ np.array([*box.centre, 1.0]) for box in found]
            sides = [box.side for box in found]
            return [Box(float(c[0]) - s / 2, float(c[1]) - s / 2, s) for c, s in zip(centres, sides, strict=True)]
    return []


def _run(name: str, grey: Image, smallest: int, largest: int) -> list[Box]:
    found = _cascade(name, get_ident()).detectMultiScale(
        grey, scaleFactor=1.15, minNeighbors=3, minSize=(smallest, smallest), maxSize=(largest, largest)
    )
    return _without_duplicates([Box(float(x), float(y), float(side)) for x, y, side, _ in found])


def _without_duplicates(boxes: list[Box]) -> list[Box]:
    """Largest first, without boxes whose centre lies inside a larger one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: b.side, reverse=True):
        if all(larger.distance(box) > 0.5 for larger in kept):
            kept.append(box)
    return kept


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
