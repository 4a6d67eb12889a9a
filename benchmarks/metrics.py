"""PSNR and MS-SSIM of pictures, on luma. Take the mean over frames of what these give for each frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
FloatImage = NDArray[np.float32]

IDENTICAL_PSNR = 100.0
"""dB given for identical pictures, whose PSNR is infinite: a mean must stay a number."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first (Wang et al. 2003, section 3.2)."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def luma(rgb: Picture) -> Picture:
    """(H, W) 8-bit BT.601 luma, full range, of an (H, W, 3) RGB picture."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def psnr(a: Picture, b: Picture) -> float:
    """dB between two luma pictures; `IDENTICAL_PSNR` if they are the same. Raises ValueError if the shapes differ."""
    _check(a, b)
    error = float(np.mean(np.square(a.astype(np.float32) - b.astype(np.float32)), dtype=np.float64))
    return IDENTICAL_PSNR if error == 0 else min(IDENTICAL_PSNR, float(10 * np.log10(255**2 / error)))


def ms_ssim(a: Picture, b: Picture) -> float:
    """0..1 between two luma pictures (Wang, Simoncelli and Bovik 2003, eq. 7).

    Five scales need 176 pixels a side; smaller pictures get as many as the 11-tap window fits into, their weights
    scaled to sum to one. Negative structure counts as 0. Raises ValueError under 11 pixels or if the shapes differ.
    """
    _check(a, b)
    scales = scale_count(min(a.shape))
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    x, y = a.astype(np.float32), b.astype(np.float32)
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, structure = _ssim_parts(x, y)
        value = luminance * structure if scale == scales - 1 else structure
        product *= max(0.0, float(value.mean(dtype=np.float64))) ** weight
    return float(product)


def scale_count(side: int) -> int:
    """How many of the five scales a picture with this shorter side has. Raises ValueError under 11 pixels."""
    if side < _WINDOW:
        raise ValueError(f"MS-SSIM needs pictures of at least {_WINDOW} pixels a side, this one has {side}")
    return min(len(SCALE_WEIGHTS), int(np.log2(side / _WINDOW)) + 1)


def _ssim_parts(x: FloatImage, y: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Luminance, and contrast times structure, wherever the window lies inside the picture."""
    mx, my = _blur(x), _blur(y)
    xx, yy, xy = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    luminance = (2 * mx * my + _C1) / (mx * mx + my * my + _C1)
    structure = (2 * xy + _C2) / (xx + yy + _C2)
    return np.asarray(luminance, np.float32), np.asarray(structure, np.float32)


def _blur(image: FloatImage) -> FloatImage:
    half = _WINDOW // 2
    return np.asarray(cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA)[half:-half, half:-half], np.float32)


def _halve(image: FloatImage) -> FloatImage:
    height, width = (side // 2 for side in image.shape)
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _check(a: Picture, b: Picture) -> None:
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"two luma pictures of one size are compared, these have shapes {a.shape} and {b.shape}")
