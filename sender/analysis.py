"""The analysis of one camera frame: what was found in it, and how good a source it would make.

Eyes open, sharp, facing the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from sender.crop import Crop, Cutter, between_crops, cut, whole_square
from sender.framing import Framer, Sight
from shared.models.engine import Engine, Picture
from shared.models.layers import LANDMARKS
from shared.motion import FloatArray, Motion, keypoints

_LIDS = tuple((LANDMARKS.index(upper), LANDMARKS.index(lower)) for upper, lower in ((159, 145), (386, 374)))
_OUTER_CORNERS = (LANDMARKS.index(33), LANDMARKS.index(263))
_FACE_SIDE = 96
"""The face is measured at this many pixels: a head further away is no sharper for being smaller."""
_SMALLEST = 8
"""Pixels a side of the smallest face area that is looked at."""
_IN_CROP = 0.6
"""Share of the face, in width and height, that must be in the crop that is drawn."""


@dataclass(frozen=True)
class FrameQuality:
    """What can be said about a frame without a second one to compare it with."""

    openness: float
    """Gap between the eyelids, mean of both eyes, in distances between the outer eye corners: about 0.1 in a face that
    looks at the camera, under 0.05 in a blink; 1 if the engine's keypoints know no eyelids."""
    sharpness: float
    """Laplacian energy of the face, in squared grey levels. It depends on camera, light and person: compare it only
    between frames of one call."""
    turn: float
    """Degrees that the head is turned away from the camera."""


def frame_quality(picture: Picture, points: FloatArray, motion: Motion) -> FrameQuality:
    """The quality of a square picture with its (K, 3) keypoints in picture coordinates."""
    return FrameQuality(_openness(points), _sharpness(picture, points), float(np.hypot(*motion.rotation[:2])))


def face_extent(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Left top and right bottom, (2,) each, of the landmarks among (K, 3) keypoints, in picture coordinates."""
    landmarks = points[: len(LANDMARKS), :2]
    return landmarks.min(axis=0), landmarks.max(axis=0)


def _openness(points: FloatArray) -> float:
    if len(points) < len(LANDMARKS):
        return 1.0
    gap = np.mean([np.linalg.norm(points[upper, :2] - points[lower, :2]) for upper, lower in _LIDS])
    left, right = _OUTER_CORNERS
    return float(gap / max(float(np.linalg.norm(points[left, :2] - points[right, :2])), 1e-6))


def _sharpness(picture: Picture, points: FloatArray) -> float:
    side = len(picture)
    low, high = ((np.clip(corner, -1, 1) + 1) / 2 * side for corner in face_extent(points))
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    if min(right - left, bottom - top) < _SMALLEST:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(picture[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    face = cv2.resize(grey, (_FACE_SIDE, _FACE_SIDE), interpolation=cv2.INTER_AREA)
    return float(np.mean(np.square(cv2.Laplacian(face, cv2.CV_32F))))


@dataclass(frozen=True, eq=False)
class Analysis:
    """A person in a camera frame."""

    picture: Picture
    """The square crop, (S, S, 3)."""
    crop: Crop
    crop_number: int
    canonical: FloatArray
    motion: Motion
    clear: bool = True
    """Whether the face is plainly there: only such a frame may become a source."""

    @cached_property
    def points(self) -> FloatArray:
        """(K, 3) keypoints in the picture."""
        return keypoints(self.canonical, self.motion)

    @cached_property
    def quality(self) -> FrameQuality:
        """How good a source it would make."""
        return frame_quality(self.picture, self.points, self.motion)

    def motion_in(self, crop: Crop) -> Motion:
        """The motion in another crop of the camera's picture."""
        zoom, shift = between_crops(self.crop, crop)
        return self.motion.zoomed(zoom, (float(shift[0]), float(shift[1])))

    def has_left(self, crop: Crop) -> bool:
        """Whether most of the face is beside a crop: better hold the last picture than draw there."""
        if self.crop == crop:
            return False
        zoom, shift = between_crops(self.crop, crop)
        low, high = (zoom * corner + shift for corner in face_extent(self.points))
        inside = np.minimum(high, 1) - np.maximum(low, -1)
        return bool((inside < _IN_CROP * (high - low)).any())


class Analyser:
    """Finds the person in the frames of one camera: framing, then motion."""

    def __init__(self, engine: Engine, framer: Framer | None, size: int) -> None:
        """Without `framer` the largest centred square is taken; `size`: pixels a side of what is kept of a frame."""
        self._engine, self._framer, self._size = engine, framer, size
        self._crop: Crop | None = None
        self._crop_number = 0

    def analyse(self, frame: Picture) -> Analysis | None:
        """The person in a camera frame (H, W, 3); None if there is no face. Slow."""
        if self._framer is None:
            crop = whole_square(frame)
            picture = cut(frame, crop, self._size)
            canonical, motion = self._engine.extract(picture)
            return Analysis(picture, crop, 0, canonical, motion)
        framed = self._framer.update(frame)
        if framed.crop is None:
            return None
        picture = cut(frame, framed.crop, self._size)
        canonical, motion = self._engine.extract(picture)
        sight = self._framer.examine(frame, canonical, keypoints(canonical, motion))
        if sight is Sight.NONE:
            return None
        if framed.moved or framed.crop != self._crop:  # one in which no face was found needs no source
            self._crop, self._crop_number = framed.crop, (self._crop_number + 1) % 256
        return Analysis(picture, framed.crop, self._crop_number, canonical, motion, sight is Sight.CLEAR)


def cutter(analysis: Analysis | None, picture: Picture | None) -> Cutter:
    """Cuts a crop from a frame, or from what was cut of it already."""

    def cut_out(crop: Crop, size: int) -> Picture | None:
        if analysis is not None and analysis.crop == crop:
            return cut(analysis.picture, whole_square(analysis.picture), size)
        return None if picture is None else cut(picture, crop, size)

    return cut_out
