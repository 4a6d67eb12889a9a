"""PSNR and MS-SSIM against values known beforehand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import pytorch_msssim
import torch
from numpy.typing import NDArray

from benchmarks.metrics import IDENTICAL_PSNR, luma, ms_ssim, psnr, scale_count


def face_like(side: int = 256) -> NDArray[np.uint8]:
    """Smooth shapes and some texture between 40 and 200."""
    y, x = np.mgrid[:side, :side] / side
    shapes = 120 + 50 * np.sin(9 * x) * np.cos(7 * y) + 20 * np.sin(90 * x * y)
    return shapes.astype(np.uint8)


def noisy(picture: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_luma_is_bt601() -> None:
    pure = np.zeros((1, 3, 3), np.uint8)
    pure[0, [0, 1, 2], [0, 1, 2]] = 255  # red, green, blue
    assert luma(pure).tolist() == [[76, 150, 29]]


def test_identical_pictures() -> None:
    picture = face_like()
    assert psnr(picture, picture) == IDENTICAL_PSNR
    assert ms_ssim(picture, picture) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("offset", [1, 5, 20])
def test_constant_offset_gives_its_psnr(offset: int) -> None:
    picture = face_like()
    assert psnr(picture, picture + np.uint8(offset)) == pytest.approx(20 * np.log10(255 / offset), abs=1e-4)


def test_constant_offset_costs_ms_ssim_only_its_luminance_at_the_last_scale() -> None:
    grey, brighter = np.full((256, 256), 100, np.uint8), np.full((256, 256), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ms_ssim(grey, brighter) == pytest.approx(luminance**0.1333, abs=1e-4)


def test_ms_ssim_falls_as_noise_grows() -> None:
    picture = face_like()
    values = [ms_ssim(picture, noisy(picture, deviation)) for deviation in (2, 8, 30, 90)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.97
    assert values[-1] < 0.75


def test_negative_structure_counts_as_none() -> None:
    picture = face_like()
    assert ms_ssim(picture, 255 - picture) == 0


@pytest.mark.parametrize(("side", "scales"), [(256, 5), (176, 5), (175, 4), (64, 3), (11, 1)])
def test_small_pictures_have_fewer_scales(side: int, scales: int) -> None:
    assert scale_count(side) == scales
    assert ms_ssim(face_like(side), face_like(side)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (256, 352)])
def test_ms_ssim_is_what_others_compute(size: tuple[int, int]) -> None:
    picture = face_like(512)[: size[0], : size[1]]
    blurred = cv2.GaussianBlur(picture, (0, 0), 3)
    for other in (noisy(picture, 5), noisy(picture, 40), blurred, picture // 2, np.roll(picture, 3, axis=1)):
        a, b = (torch.from_numpy(np.ascontiguousarray(each))[None, None].float() for each in (picture, other))
        theirs = float(pytorch_msssim.ms_ssim(a, b, data_range=255))
        assert ms_ssim(picture, np.asarray(other)) == pytest.approx(theirs, abs=2e-4)


def test_odd_sides_are_taken() -> None:
    assert 0 < ms_ssim(face_like(251), noisy(face_like(251), 10)) < 1


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11"):
        ms_ssim(face_like(10), face_like(10))
    with pytest.raises(ValueError, match="one size"):
        psnr(face_like(64), face_like(32))
