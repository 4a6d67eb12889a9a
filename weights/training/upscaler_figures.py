"""How near the upscaler comes to dev pictures, against bicubic enlargement."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from shared.models.engine import Picture
from shared.models.esrgan import RRDBNet
from shared.resampling import resampled
from weights.training.upscaler_pairs import LOSSLESS, Pairs

_DEFAULT_QUALITY = 65
"""That of a call; `shared.codec.picture` says the same, but needs the encoder."""


def luma_psnr(a: Picture, b: Picture) -> float:
    """dB on 8-bit BT.601 luma of two RGB pictures."""
    return float(-10 * np.log10(max(1e-10, float(np.square(_luma(a) - _luma(b)).mean()) / 255**2)))


def sharpness(picture: Picture, truth: Picture) -> float:
    """Gradient energy of the luma over that of the truth: 1 is as sharp, less is softer."""
    energies = [sum(float(np.square(np.diff(_luma(p), axis=axis)).mean()) for axis in (0, 1)) for p in (picture, truth)]
    return energies[0] / max(energies[1], 1e-6)


@torch.no_grad()
def evaluate(network: RRDBNet, dev: dict[int, Pairs], everything: bool = True) -> tuple[dict[str, float], Picture]:
    """Figures of upscaled and of bicubic dev pictures, as `64to256_q65_ours`, and a sheet at the default quality.

    Luma PSNR in dB of the picture and of an eye (`_eye`), sharpness of the eye (`_eye_sharp`). `everything`: the other
    qualities too. A row of the sheet, one a clip, has the truth, bicubic and ours; then the same, an eye enlarged.
    """
    scores: dict[str, list[float]] = {}
    rows: list[Picture] = []
    shown: set[str] = set()
    for pairs in dev.values():
        for low, of, quality in zip(pairs.low, pairs.of.tolist(), pairs.quality.tolist(), strict=True):
            if not everything and quality != _DEFAULT_QUALITY:
                continue
            out = network(low.permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0)
            large = (out * 255 + 0.5).clamp(0, 255).to(torch.uint8).numpy()
            truth, focus = pairs.truth[of].numpy(), pairs.focus[of].numpy()
            # as a receiver makes 256 px of 128: four times as large, then shrunk
            for side in (256, 512) if len(truth) == 512 else (256,):
                true, ours, bicubic = resampled(truth, side), resampled(large, side), resampled(low.numpy(), side)
                name = f"{len(low)}to{side}_q{'max' if quality == LOSSLESS else quality}"
                for who, picture in (("ours", ours), ("bicubic", bicubic)):
                    eyes = _eye(picture, focus), _eye(true, focus)
                    scores.setdefault(f"{name}_{who}", []).append(luma_psnr(picture, true))
                    scores.setdefault(f"{name}_{who}_eye", []).append(luma_psnr(*eyes))
                    scores.setdefault(f"{name}_{who}_eye_sharp", []).append(sharpness(*eyes))
            if quality == _DEFAULT_QUALITY and pairs.clip[of] not in shown:
                shown.add(pairs.clip[of])
                rows.append(_sheet_row((true, bicubic, ours), focus))
    return {name: float(np.mean(values)) for name, values in scores.items()}, np.concatenate(rows)


def _luma(picture: Picture) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def _eye(picture: Picture, focus: NDArray[np.float32]) -> Picture:
    """A fifth of the picture around the first eye; its middle where no face was found."""
    side = picture.shape[0]
    part = side // 5
    x, y = np.clip(np.nan_to_num(focus[0], nan=0.5) * side - part / 2, 0, side - part).astype(int)
    return picture[y : y + part, x : x + part]


def _sheet_row(pictures: tuple[Picture, ...], focus: NDArray[np.float32]) -> Picture:
    whole = [resampled(p, 256) for p in pictures]
    eyes = [cv2.resize(_eye(p, focus), (256, 256), interpolation=cv2.INTER_NEAREST) for p in pictures]
    return np.concatenate(whole + eyes, 1)
