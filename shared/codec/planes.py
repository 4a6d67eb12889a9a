"""Colour for AV1: BT.601 full range, 4:2:0 with centred chroma, by our own arithmetic on both ends."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
Planes = NDArray[np.uint8]
"""(3H/2, W) planes of YUV 4:2:0 under each other, as FFmpeg's yuv420p."""

_TO_YUV = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)  # ITU-T T.871 (JFIF), section 7
_TO_RGB = np.linalg.inv(_TO_YUV.astype(np.float64)).astype(np.float32)


def to_planes(rgb: RgbImage) -> Planes:
    """(3H/2, W) planes of full-range YUV 4:2:0 of an (H, W, 3) picture with even sides."""
    height, width = rgb.shape[:2]
    yuv = rgb.astype(np.float32) @ _TO_YUV.T + np.array([0, 128, 128], np.float32)
    chroma = yuv[..., 1:].reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    planes = np.concatenate([yuv[..., 0].reshape(-1), chroma[..., 0].reshape(-1), chroma[..., 1].reshape(-1)])
    return np.asarray(np.clip(np.rint(planes), 0, 255), np.uint8).reshape(height * 3 // 2, width)


def to_rgb(planes: Planes) -> RgbImage:
    """Inverse of `to_planes`, chroma interpolated."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    full = [cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in chroma.astype(np.float32)]
    yuv = np.stack([planes[:height].astype(np.float32), full[0] - 128, full[1] - 128], axis=-1)
    return np.asarray(np.clip(np.rint(yuv @ _TO_RGB.T), 0, 255), np.uint8)
