"""Which square of the camera's picture is sent: it holds still and moves once when the head leaves its safe area.

The size follows the clips that the motion network learns from: the landmarked face is 0.36 to 0.65 of the crop high
(5th and 95th percentile of 218 clips; median 0.51) and its middle at (0.50, 0.54). A cascade box around the same face
is as high and 9 % of its height further up: a crop around the middle of that box, twice its size, shows the face alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sender.detect import Box, Image, find_heads, find_near

ENLARGE = 2.05
"""Side of the crop in head boxes."""
MARGIN = 0.06
"""The head box keeps this share of the crop's side free at every edge, or the crop moves."""
HEAD_BAND = (0.33, 0.72)
"""Shares of the crop's side that the head box may have before the crop changes its size."""
PATIENCE = 3
"""Frames in a row that the head must be outside before the crop moves: one wild keypoint moves nothing."""
MESH_POINTS = 23
"""The compact engine's first keypoints follow face landmarks from forehead to chin and cheek to cheek."""
FACE_TO_HEAD = (1.03, 0.09)
"""A head box is this much larger than the landmarks' extent, and its centre this share of the extent further up."""


class Crop(NamedTuple):
    """A square of the picture, in whole pixels, inside the picture."""

    x: int
    y: int
    side: int


class Framed(NamedTuple):
    """What to cut from a frame."""

    crop: Crop | None
    """None while no face is known."""
    moved: bool
    """True with the first crop and whenever it changes: what the receiver holds was cut differently."""


class Framer:
    """Follows one head. Per frame: `update` with the picture, then `follow` with the keypoints found in its crop.

    Between detector checks, about one a second, the head is where the keypoints say. An engine without face
    landmarks need not call `follow`; then the detector is asked five times a second.
    """

    def __init__(self, fps: float = 25.0) -> None:
        """`fps` of the pictures, which turns the waiting times into frames."""
        self._often = max(1, round(fps / 5))
        self._seldom = max(1, round(fps))
        self._shape: tuple[int, ...] = ()
        self._head: Box | None
        self._crop: Crop | None
        self._tracked: bool
        self._forget()

    def update(self, rgb: Image) -> Framed:
        """The crop for an (H, W, 3) uint8 RGB picture; it stays the same object while it does not move."""
        if rgb.shape != self._shape:
            self._shape = rgb.shape
            self._forget()
        self._unchecked += 1
        self._unseen += 1
        if self._head is None:
            return self._lock(rgb) if self._unchecked >= 2 * self._often else Framed(None, False)
        calm = self._tracked and self._seen_at_check
        if self._alarm or self._unchecked >= (self._seldom if calm else self._often):
            self._check(rgb, self._head)
        if self._unseen > self._seldom * (3 if self._tracked else 1):
            return self._lock(rgb)
        return self._hold_or_move()

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

    def _forget(self) -> None:
        self._head = None
        self._crop = None
        self._tracked = self._alarm = self._seen_at_check = False
        self._outside = self._unseen = 0
        self._unchecked = 2 * self._often  # look at the next picture at once

    def _lock(self, rgb: Image) -> Framed:
        """Choose the largest head of the whole picture."""
        before = self._crop
        self._forget()
        self._unchecked = 0
        heads = find_heads(rgb)
        if not heads:
            return Framed(None, False)
        self._head = heads[0]
        self._seen_at_check = True
        crop = crop_around(heads[0], rgb.shape[1], rgb.shape[0])
        self._crop = before if before is not None and _nearly_same(crop, before) else crop
        return Framed(self._crop, self._crop is not before)

    def _check(self, rgb: Image, head: Box) -> None:
        """Ask the detector whether the head is where it is believed to be."""
        self._unchecked = 0
        self._alarm = False
        found = find_near(rgb, head)
        self._seen_at_check = found is not None
        if found is None:
            return
        self._unseen = 0
        if not self._tracked:
            self._head = found
        elif head.distance(found) > 0.4:
            self._head, self._tracked = found, False
            self._outside = PATIENCE  # the keypoints are astray: a better crop helps them back

    def _hold_or_move(self) -> Framed:
        assert self._crop is not None
        assert self._head is not None
        self._outside = self._outside + 1 if self._outside >= PATIENCE or not is_safe(self._head, self._crop) else 0
        if self._outside < PATIENCE:
            return Framed(self._crop, False)
        self._outside = 0
        better = crop_around(self._head, self._shape[1], self._shape[0])
        if _nearly_same(better, self._crop):  # at the picture's edge there is nowhere to move
            return Framed(self._crop, False)
        self._crop = better
        return Framed(better, True)


def crop_around(head: Box, width: int, height: int) -> Crop:
    """The crop for a head in a picture of this size: never beyond the picture, smaller if the picture is."""
    side = max(1, min(round(ENLARGE * head.side), width, height))
    cx, cy = head.centre
    x = min(max(round(cx - side / 2), 0), width - side)
    y = min(max(round(cy - side / 2), 0), height - side)
    return Crop(x, y, side)


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
    """(size, size, 3) uint8 of the crop: averaged when it shrinks, bicubic when it grows."""
    part = rgb[crop.y : crop.y + crop.side, crop.x : crop.x + crop.side]
    if crop.side == size:
        return np.ascontiguousarray(part)
    method = cv2.INTER_AREA if crop.side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (size, size), interpolation=method), np.uint8)


def _nearly_same(a: Crop, b: Crop) -> bool:
    shift = max(abs(a.x + a.side / 2 - b.x - b.side / 2), abs(a.y + a.side / 2 - b.y - b.side / 2))
    return shift < 0.05 * b.side and 0.9 < a.side / b.side < 1.1
