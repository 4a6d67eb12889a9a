"""The crop: a square of the camera's picture, where it is put around a head, and how it is cut out.

The size follows the clips that the motion network learns from: the landmarked face is 0.36 to 0.65 of the crop high
(5th and 95th percentile of 218 clips; median 0.51) and its middle at (0.50, 0.54). A cascade box around the same face
is as high and 9 % of its height further up: a crop around the middle of that box, twice its size, shows the face alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sender.detect import Box, Image
from shared.motion import FloatArray
from shared.resampling import resampled

ENLARGE = 2.05
"""Side of the crop in head boxes."""
MARGIN = 0.06
"""The head box keeps this share of the crop's side free at every edge, or the crop moves."""
HEAD_BAND = (0.33, 0.72)
"""Shares of the crop's side that the head box may have before the crop changes its size."""
LARGEST = 0.66
"""Share of the crop's side that the head box has at most where the picture is too small for more room. Beside the
picture there is nothing to see, but keypoints of a face that fills the crop are read wrongly: with 0.72 their
strangeness (`sender.detect`) is 0.15 to 0.34 in close-ups, with 0.49 it is 0.02 to 0.14, as in other pictures."""
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


Cutter = Callable[[Crop, int], Image | None]
"""Gives a frame's crop, (size, size, 3); None where this part of the frame is not there any more."""


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


def is_safe(head: Box, crop: Crop) -> bool:
    """Whether the head box is inside the crop with its margin and of fitting size."""
    margin = MARGIN * crop.side
    inside = (
        crop.x + margin <= head.x <= crop.x + crop.side - margin - head.side
        and crop.y + margin <= head.y <= crop.y + crop.side - margin - head.side
    )
    return inside and HEAD_BAND[0] <= head.side / crop.side <= HEAD_BAND[1]


def nearly_same(a: Crop, b: Crop) -> bool:
    """Whether a move from one to the other would hardly be seen."""
    shift = max(abs(a.x + a.side / 2 - b.x - b.side / 2), abs(a.y + a.side / 2 - b.y - b.side / 2))
    return shift < 0.05 * b.side and 0.9 < a.side / b.side < 1.1


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
        return np.ascontiguousarray(resampled(rgb[top:bottom, left:right], size))
    rows, columns = (
        np.clip(np.arange(v, v + crop.side), 0, length - 1) for v, length in ((top, height), (left, width))
    )
    whole = np.ascontiguousarray(resampled(rgb[rows[:, None], columns], size))
    blurred = cv2.GaussianBlur(resampled(whole, _BLURRED), (0, 0), 1.5)
    soft = np.asarray(cv2.resize(blurred, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    a, b, c, d = (
        round(min(max(v - first, 0), crop.side) * size / crop.side)
        for v, first in ((0, top), (height, top), (0, left), (width, left))
    )
    soft[a:b, c:d] = whole[a:b, c:d]
    return soft


def between_crops(of: Crop, into: Crop) -> tuple[float, FloatArray]:
    """From coordinates -1..1 in one crop to those in another: a zoom, and (2,) a shift after it."""
    centre = np.array([of.x + of.side / 2, of.y + of.side / 2])
    shift = 2 * (centre - [into.x + into.side / 2, into.y + into.side / 2]) / into.side
    return of.side / into.side, np.asarray(shift, np.float32)
