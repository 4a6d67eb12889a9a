"""A decoded frame as it is meant to be seen: turned, mirrored, with square pixels, in the colours of a screen."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from sender.hdr import ScreenColours

Image = NDArray[np.uint8]
_WIDEST_PIXEL = 8
"""A pixel that is said to be so many times as wide as high, or more, is a mistake."""


class Upright:
    """Makes (H, W, 3) uint8 RGB pictures of a stream's frames."""

    def __init__(self, pixel: Fraction | None) -> None:
        """`pixel`: width of one over its height, where the stream says it."""
        known = pixel is not None and Fraction(1, _WIDEST_PIXEL) < pixel < _WIDEST_PIXEL
        self._pixel = pixel if known and pixel is not None else Fraction(1)
        self._colours = ScreenColours()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height with square pixels, before turning; none gets smaller."""
        pixel = self._pixel
        return (round(width * pixel), height) if pixel >= 1 else (width, round(height / pixel))

    def __call__(self, frame: av.VideoFrame) -> Image:
        """The picture of a frame."""
        rgb = self._colours(frame)
        size = self.size(frame.width, frame.height)
        if size != (frame.width, frame.height):
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        return oriented(rgb, display_matrix(frame))


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of a frame's display matrix, row by row; None if it has none."""
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    data = b"" if found is None else bytes(found)
    return tuple(np.frombuffer(data[:36], np.int32).tolist()) if len(data) >= 36 else None


def oriented(rgb: Image, matrix: tuple[int, ...] | None) -> Image:
    """The picture turned and mirrored as FFmpeg's own players do it, to the nearest quarter of a turn."""
    if matrix is None:
        return rgb
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return rgb
    quarters = round(math.degrees(math.atan2(b / down, a / across)) / 90) % 4
    if quarters == 1:
        turned = np.swapaxes(rgb, 0, 1) if c > 0 else np.rot90(rgb, -1)
    elif quarters == 3:
        turned = np.rot90(rgb, 1) if c > 0 else np.rot90(np.swapaxes(rgb, 0, 1), 2)
    else:
        turned = rgb[:, ::-1] if a < 0 else rgb
        turned = turned[::-1] if d < 0 else turned
    return np.ascontiguousarray(turned)
