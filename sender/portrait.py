"""How good a source a frame would make: eyes open, sharp, facing the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from shared.models.engine import Picture
from shared.models.layers import LANDMARKS
from shared.motion import FloatArray, Motion

_LIDS = tuple((LANDMARKS.index(upper), LANDMARKS.index(lower)) for upper, lower in ((159, 145), (386, 374)))
_OUTER_CORNERS = (LANDMARKS.index(33), LANDMARKS.index(263))
_FACE_SIDE = 96
"""The face is measured at this many pixels: a head further away is no sharper for being smaller."""
_SMALLEST = 8
"""Pixels a side of the smallest face area that is looked at."""


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
