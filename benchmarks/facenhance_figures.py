"""Figures of drawn videos beside the true ones, as docs/facenhance.md has them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from benchmarks.face_figures import flicker, sharpness
from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from shared.models.motion_network import HIDDEN, MOTION_INPUT, MotionNetwork
from shared.models.registry import locate

COLUMNS = ("psnr", "psnr_end", "ms_ssim", "sharp", "flicker", "frechet")
HEAD = ("", "PSNR, dB", "last quarter", "MS-SSIM", "sharpness", "flicker", "Fréchet")
_BATCH = 16

Video = Sequence[Picture]
Features = NDArray[np.float64]


class Eye:
    """The motion network's last layer but one."""

    def __init__(self) -> None:
        self._network = MotionNetwork().eval()
        self._network.load_state_dict({k: v.float() for k, v in load_file(locate("compact-motion")).items()})

    @torch.inference_mode()
    def __call__(self, video: Video) -> Features:
        """(T, HIDDEN)"""
        size, out = (MOTION_INPUT, MOTION_INPUT), [np.zeros((0, HIDDEN))]
        for at in range(0, len(video), _BATCH):
            large = [cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) for each in video[at : at + _BATCH]]
            planes = torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2).float() / 255
            out.append(self._network.overview(planes)[1].double().numpy())
        return np.concatenate(out)


def frechet(a: Features, b: Features) -> float:
    """Distance of the Gaussians that have the means and covariances of two sets of features (N, D)."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    both = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * both)


def figures(true: Sequence[Video], drawn: Sequence[Video], eye: Eye) -> dict[str, float]:
    """Means over videos of means over their frames, the first left out; luma.

    `psnr_end`: of the last quarter. `sharp`: Laplacian energy of the middle half over the true one. `flicker`: second
    difference in time over the true one. `frechet`: over the features of all frames of all videos.
    """
    rows = [_of_one(a, b) for a, b in zip(true, drawn, strict=True)]
    out = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    seen, own = (np.concatenate([eye(video) for video in videos]) for videos in (true, drawn))
    return out | {"frechet": frechet(seen, own)}


def _of_one(true: Video, drawn: Video) -> dict[str, float]:
    a, b = [luma(each) for each in true], [luma(each) for each in drawn]
    side = len(a[0])
    middle = (slice(side // 4, side - side // 4),) * 2
    near = [psnr(x, y) for x, y in zip(a, b, strict=True)][1:]
    return {
        "psnr": float(np.mean(near)),
        "psnr_end": float(np.mean(near[-max(1, len(a) // 4) :])),
        "ms_ssim": float(np.mean([ms_ssim(x, y) for x, y in zip(a, b, strict=True)][1:])),
        "sharp": float(
            np.mean([sharpness(y, middle) / max(sharpness(x, middle), 1e-3) for x, y in zip(a, b, strict=True)][1:])
        ),
        "flicker": flicker(b) / max(flicker(a), 1e-6),
    }


def row(name: str, found: dict[str, float]) -> list[str]:
    """Of a table under HEAD."""
    digits = {"psnr": 2, "psnr_end": 2, "ms_ssim": 3, "sharp": 2, "flicker": 2, "frechet": 2}
    return [name, *(f"{found[column]:.{digits[column]}f}" for column in COLUMNS)]
