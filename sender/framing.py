"""Which square of the camera's picture is sent: it holds still and moves once when the head leaves its safe area.

The size follows the clips that the motion network learns from: the landmarked face is 0.36 to 0.65 of the crop high
(5th and 95th percentile of 218 clips; median 0.51) and its middle at (0.50, 0.54). A cascade box around the same face
is as high and 9 % of its height further up: a crop around the middle of that box, twice its size, shows the face alike.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sender.detect import Box, Image, find_heads, find_near
from sender.presence import Presence, face_view
from shared.motion import FloatArray

ENLARGE = 2.05
"""Side of the crop in head boxes."""
MARGIN = 0.06
"""The head box keeps this share of the crop's side free at every edge, or the crop moves."""
HEAD_BAND = (0.33, 0.72)
"""Shares of the crop's side that the head box may have before the crop changes its size."""
LARGEST = 0.66
"""Share of the crop's side that the head box has at most where the picture is too small for more room. Beside the
picture there is nothing to see, but keypoints of a face that fills the crop are read wrongly: with 0.72 their
strangeness (`sender.presence`) is 0.15 to 0.34 in close-ups, with 0.49 it is 0.02 to 0.14, as in other pictures."""
PATIENCE = 3
"""Frames in a row that the head must be outside before the crop moves: one wild keypoint moves nothing."""
ALIKE, STRANGE = 0.6, 0.2
"""Likeness and strangeness (`sender.presence`) from which on the detector is asked. In the 12 dev clips and two raw
ones one frame in a hundred is beyond one of them, and of 3656 frames one is held for want of a face. In a black
picture, a coloured one, a wall and before a palm, made of six of them, likeness is at most 0.57 and strangeness 0.19 to
0.72: none passes. All this takes 0.8 ms a frame, 5 where a face is missing (one core, on which `extract` takes 13)."""
NOT_STRANGE = 0.15
"""Whom the detector sees is the same person up to this strangeness, whatever the view."""
BARELY_ALIKE, VERY_STRANGE = 0.4, 0.3
"""Where it sees nothing and one of these is passed, there is no face; else there is for UNSEEN frames in a row."""
UNSEEN = 4
UNLIKE = 0.1
"""Less than in any frame of a face: what the detector sees then is a palm, or somebody else who stays."""
KEPT_SECONDS = 3.0
"""Who is back so soon, and in the same place, gets the same crop: the sources held are good for it."""
CHANGE = 4.0
"""Grey levels, mean of a tiny picture, by which it changes when somebody comes: then the detector is asked at once."""
MESH_POINTS = 23
"""The compact engine's first keypoints follow face landmarks from forehead to chin and cheek to cheek."""
FACE_TO_HEAD = (1.03, 0.09)
"""A head box is this much larger than the landmarks' extent, and its centre this share of the extent further up."""


_BLURRED = 32
"""Pixels a side of what is shown beside the picture."""


class Crop(NamedTuple):
    """A square of the picture, in whole pixels. It overhangs the picture where the head would not fit else."""

    x: int
    y: int
    side: int


class Framed(NamedTuple):
    """What to cut from a frame."""

    crop: Crop | None
    """None while no face is known."""
    moved: bool
    """True with the first crop and whenever it changes: what the receiver holds was cut differently."""


class Sight(Enum):
    """What is to be made of a frame."""

    CLEAR = "a face, plainly"
    DOUBTFUL = "perhaps a face: its motion may go, its picture may not"
    NONE = "no face, or not where it was read"


class Framer:
    """Follows one head. Per frame: `update` with the picture, then `examine` with what was read in its crop.

    Between detector checks, about one a second, the head is where the keypoints say. Where only the crop is wanted
    nothing need be read; then the detector is asked five times a second.
    """

    def __init__(self, fps: float = 25.0) -> None:
        """`fps` of the pictures, which turns the waiting times into frames."""
        self._often = max(1, round(fps / 5))
        self._seldom = max(1, round(fps))
        self._long = round(KEPT_SECONDS * fps)
        self._presence = Presence()
        self._seen_now = False
        """Whether the detector has seen the head in the last picture."""
        self._landmarked = False
        """Whether the engine's keypoints have ever shown the head where the detector sees it."""
        self._shape: tuple[int, ...] = ()
        self._head: Box | None = None
        self._last: Box | None = None
        """Where the head was last."""
        self._crop: Crop | None = None
        self._before: Crop | None = None
        """The crop before somebody came back, if that was soon."""
        self._tracked: bool
        self._unlike: int
        """Pictures in a row in which the detector has seen a face that looks different."""
        self._returning: int
        """Pictures in which somebody who is back, and looks different, must still be seen to be believed."""
        self._settling = 0
        """Pictures of somebody who is back that are no sources yet: a hand may still be on its way down."""
        self._away = 0
        """Pictures since the head was lost."""
        self._glimpse: FloatArray | None = None
        """Of the last picture in which nobody was found."""
        self._forget()

    def update(self, rgb: Image) -> Framed:
        """The crop for an (H, W, 3) uint8 RGB picture; it stays the same object while it does not move."""
        if rgb.shape != self._shape:
            self._shape = rgb.shape
            self._forget()
            self._presence, self._crop, self._last = Presence(), None, None
        self._unchecked += 1
        self._unseen += 1
        self._seen_now = False
        if self._head is None:
            waited = self._unchecked >= 2 * self._often or (self._unchecked >= 2 and self._has_changed(rgb))
            return self._lock(rgb) if waited else Framed(None, False)
        calm = self._tracked and self._seen_at_check
        if self._alarm or self._unchecked >= (self._seldom if calm else self._often):
            self._check(rgb, self._head)
        if self._unseen > self._seldom * (3 if self._tracked else 1):
            return self._lock(rgb)
        return self._hold_or_move(rgb)

    def examine(self, rgb: Image, canonical: FloatArray, points: FloatArray) -> Sight:
        """Whether the person is in the picture that `update` got, by the (K, 3) canonical keypoints that were read in
        its crop and the (K, 3) keypoints there, -1..1; the next `update` goes by what is found here.

        Where they are not those of the face that the detector saw before, it is asked, in this very picture.
        """
        sight = self._judged(rgb, canonical, points)
        if sight is not Sight.CLEAR or self._settling == 0:
            return sight
        self._settling -= 1
        return Sight.DOUBTFUL

    def _judged(self, rgb: Image, canonical: FloatArray, points: FloatArray) -> Sight:
        """As `examine`, but for a face that has just come back."""
        if self._head is None:
            return Sight.NONE
        before = self._head, self._tracked
        self.follow(points)
        likeness = self._presence.likeness(face_view(rgb, self._head))
        strangeness = self._presence.strangeness(canonical)
        alike = likeness >= ALIKE and strangeness <= STRANGE
        if not self._seen_now and (self._alarm or not alike):
            self._check(rgb, self._head)
        if self._seen_now:
            return self._as_seen(rgb, canonical, points, likeness, strangeness)
        if alike:
            self._returning = self._unseen = 0  # in the dark the detector sees less
            return Sight.CLEAR
        self._missed += 1
        if _barely_alike(likeness, strangeness) and self._missed <= UNSEEN and self._returning == 0:
            return Sight.DOUBTFUL
        self._head, self._tracked = before
        if self._missed >= PATIENCE or self._returning:
            self._lose(rgb)
        return Sight.NONE

    def follow(self, keypoints: NDArray[Any]) -> None:
        """Take the head's place from (K, 2 or more) keypoints, -1..1 in the last crop; the first 23 are landmarks.

        Keypoints that cannot be a face, or jump, are not followed: the next `update` asks the detector.
        """
        if self._crop is None or self._head is None:
            return
        head = head_of_keypoints(keypoints, self._crop)
        believed = head is not None and self._head.distance(head) < 0.6 and 0.6 < head.side / self._head.side < 1.6
        if head is not None and believed:
            self._head = head
        self._alarm = self._tracked and not believed
        self._tracked = believed

    def _as_seen(
        self, rgb: Image, canonical: FloatArray, points: FloatArray, likeness: float, strangeness: float
    ) -> Sight:
        """What to make of a picture in which the detector has seen a head."""
        assert self._head is not None and self._crop is not None
        same = likeness >= ALIKE or _barely_alike(likeness, strangeness) or strangeness <= NOT_STRANGE
        self._missed, unlike = 0, 0 if same else self._unlike + 1
        if self._returning and not same:  # a cascade sees faces in walls now and then, but not for long
            self._returning -= 1
            self._unchecked = self._seldom
            if self._returning:
                return Sight.NONE
        self._returning = 0
        read = head_of_keypoints(points, self._crop)
        agrees = read is not None and self._head.distance(read) < 0.4 and 0.6 < read.side / self._head.side < 1.6
        self._landmarked |= agrees
        if self._landmarked and not agrees:
            return Sight.NONE  # of keypoints beside the face nothing is to be drawn
        self._unlike = unlike
        if unlike and self._presence.knows:  # a palm may look like a face to a cascade; or another light was turned on
            if likeness < UNLIKE and unlike <= 2 * self._seldom:
                return Sight.NONE
            if unlike <= self._seldom:
                return Sight.NONE if strangeness > VERY_STRANGE else Sight.DOUBTFUL
        self._presence.confirm(face_view(rgb, self._head), canonical)
        return Sight.CLEAR

    def _lose(self, rgb: Image) -> None:
        """Nobody is there: from the next picture on somebody is looked for."""
        if self._returning:
            self._crop = self._before  # nobody had come back
        self._forget()
        self._unchecked, self._settling = 0, self._often
        self._glimpse = _glimpse(rgb)

    def _forget(self) -> None:
        self._last = self._head if self._head is not None else self._last
        self._head = None
        self._tracked = self._alarm = self._seen_at_check = False
        self._outside = self._missed = self._unlike = self._unseen = 0
        self._returning = self._seldom if self._presence.knows else 0
        self._unchecked = 2 * self._often  # look at the next picture at once

    def _has_changed(self, rgb: Image) -> bool:
        """Whether the picture is another than the one in which nobody was seen."""
        return self._glimpse is None or float(np.abs(_glimpse(rgb) - self._glimpse).mean()) > CHANGE

    def _lock(self, rgb: Image) -> Framed:
        """Choose the head that was there before, or the largest of the whole picture."""
        self._away = self._away + self._unchecked if self._head is None else 0
        self._forget()
        self._unchecked = 0
        near = None if self._last is None else find_near(rgb, self._last)
        heads = find_heads(rgb) if near is None else [near]
        if not heads:
            self._glimpse = _glimpse(rgb)
            return Framed(None, False)
        self._before = before = self._crop if self._away <= self._long else None
        self._head, self._away = heads[0], 0
        self._seen_at_check = self._seen_now = True
        crop = crop_around(heads[0], rgb.shape[1], rgb.shape[0])
        stays = before is not None and (_nearly_same(crop, before) or is_safe(heads[0], before))
        self._crop = before if stays else crop
        return Framed(self._crop, not stays)

    def _check(self, rgb: Image, head: Box) -> None:
        """Ask the detector whether the head is where it is believed to be."""
        self._unchecked = 0
        self._alarm = False
        found = find_near(rgb, head)
        self._seen_at_check = self._seen_now = found is not None
        if found is None:
            return
        self._unseen = 0
        if not self._tracked:
            self._head = found
        elif head.distance(found) > 0.4:
            self._head, self._tracked = found, False
            self._outside = PATIENCE  # the keypoints are astray: a better crop helps them back

    def _hold_or_move(self, rgb: Image) -> Framed:
        assert self._crop is not None
        assert self._head is not None
        self._outside = self._outside + 1 if self._outside >= PATIENCE or not is_safe(self._head, self._crop) else 0
        if self._outside < PATIENCE:
            return Framed(self._crop, False)
        if not self._seen_now:
            self._check(rgb, self._head)
        self._outside = 0
        if not self._seen_now:
            return Framed(self._crop, False)  # what is no face is no reason to move
        better = crop_around(self._head, self._shape[1], self._shape[0])
        if _nearly_same(better, self._crop):  # at the picture's edge there is nowhere to move
            return Framed(self._crop, False)
        self._crop = better
        return Framed(better, True)


def crop_around(head: Box, width: int, height: int) -> Crop:
    """The crop for a head in a picture of this size: inside the picture unless the head has no room there."""
    side = max(1, min(round(ENLARGE * head.side), width, height), round(head.side / LARGEST))
    x, y = (
        _placed(centre - side / 2, length - side, low, head.side, side)
        for centre, length, low in zip(head.centre, (width, height), head[:2], strict=True)
    )
    return Crop(x, y, side)


def _placed(wanted: float, last: int, low: float, head: float, side: int) -> int:
    """The place from 0 to `last` nearest to what is wanted for a crop's edge, if there is one; but where the head,
    which begins at `low`, has its margins."""
    place = round(min(max(wanted, 0.0), last) if last >= 0 else wanted)
    return min(max(place, math.ceil(low + head + MARGIN * side - side)), math.floor(low - MARGIN * side))


def head_of_keypoints(keypoints: NDArray[Any], crop: Crop) -> Box | None:
    """The head box in pixels of the picture, from (K, 2 or more) keypoints; None if they cannot be a face.

    A face is finite, neither a line nor a dot, and has its centre inside the crop.
    """
    points = np.asarray(keypoints, np.float64)[:MESH_POINTS, :2]
    if not np.isfinite(points).all():
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    size = float(extent.max())
    centre = (low + high) / 2
    if not 0.3 < size < 2.2 or extent.min() < 0.3 * size or np.abs(centre).max() > 1:
        return None
    larger, higher = FACE_TO_HEAD
    half = crop.side / 2
    side = larger * size * half
    cx = crop.x + (centre[0] + 1) * half
    cy = crop.y + (centre[1] - higher * size + 1) * half
    return Box(float(cx) - side / 2, float(cy) - side / 2, side)


def is_safe(head: Box, crop: Crop) -> bool:
    """Whether the head box is inside the crop with its margin and of fitting size."""
    margin = MARGIN * crop.side
    inside = (
        crop.x + margin <= head.x <= crop.x + crop.side - margin - head.side
        and crop.y + margin <= head.y <= crop.y + crop.side - margin - head.side
    )
    return inside and HEAD_BAND[0] <= head.side / crop.side <= HEAD_BAND[1]


def whole_square(rgb: Image) -> Crop:
    """The largest centred square of an (H, W, 3) picture, for clips that are framed already."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    return Crop((width - side) // 2, (height - side) // 2, side)


def cut(rgb: Image, crop: Crop, size: int) -> Image:
    """(size, size, 3) uint8 of the crop: averaged when it shrinks, bicubic when it grows.

    What is beside the picture goes on as its edge is, out of focus.
    """
    height, width = rgb.shape[:2]
    left, top, right, bottom = crop.x, crop.y, crop.x + crop.side, crop.y + crop.side
    if min(left, top) >= 0 and right <= width and bottom <= height:
        return _scaled(rgb[top:bottom, left:right], size)
    rows, columns = (
        np.clip(np.arange(v, v + crop.side), 0, length - 1) for v, length in ((top, height), (left, width))
    )
    whole = _scaled(rgb[rows[:, None], columns], size)
    blurred = cv2.GaussianBlur(_scaled(whole, _BLURRED), (0, 0), 1.5)
    soft = np.asarray(cv2.resize(blurred, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    a, b, c, d = (
        round(min(max(v - first, 0), crop.side) * size / crop.side)
        for v, first in ((0, top), (height, top), (0, left), (width, left))
    )
    soft[a:b, c:d] = whole[a:b, c:d]
    return soft


def _scaled(picture: Image, size: int) -> Image:
    if len(picture) == size:
        return np.ascontiguousarray(picture)
    method = cv2.INTER_AREA if len(picture) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=method), np.uint8)


def _glimpse(rgb: Image) -> FloatArray:
    """(9, 16) grey levels: enough to see that somebody came."""
    return np.asarray(cv2.resize(rgb, (16, 9), interpolation=cv2.INTER_AREA).mean(axis=2), np.float32)


def _barely_alike(likeness: float, strangeness: float) -> bool:
    return likeness >= BARELY_ALIKE and strangeness <= VERY_STRANGE


def _nearly_same(a: Crop, b: Crop) -> bool:
    shift = max(abs(a.x + a.side / 2 - b.x - b.side / 2), abs(a.y + a.side / 2 - b.y - b.side / 2))
    return shift < 0.05 * b.side and 0.9 < a.side / b.side < 1.1
