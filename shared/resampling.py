"""Resampling of square pictures without a network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def resampled(picture: Picture, size: int) -> Picture:
    """(size, size, 3): by area when it shrinks, bicubic when it grows, the same if it fits."""
    if picture.shape[:2] == (size, size):
        return picture
    way = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=way), np.uint8)
