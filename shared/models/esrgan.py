"""The ESRGAN x4 generator: residual-in-residual dense blocks (Wang et al. 2018, section 3.1).

Parameter names are those of the published checkpoints (`RRDB_trunk.0.RDB1.conv1.weight`), so that they load unchanged.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from shared.models.engine import Picture, load_strictly

PUBLISHED = (23, 64, 32)
"""Blocks, channels and growth of the published generator."""

_RESIDUAL_SCALE = 0.2


class DenseBlock(nn.Module):
    """Five convolutions, each seeing the input and all outputs before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels + growth, growth, 3, 1, 1)
        self.conv3 = nn.Conv2d(channels + 2 * growth, growth, 3, 1, 1)
        self.conv4 = nn.Conv2d(channels + 3 * growth, growth, 3, 1, 1)
        self.conv5 = nn.Conv2d(channels + 4 * growth, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, F.leaky_relu(layer(seen), 0.2)], 1)
        out: Tensor = x + _RESIDUAL_SCALE * self.conv5(seen)
        return out


class ResidualDenseBlocks(nn.Module):
    """Three dense blocks and a residual around them (RRDB)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(channels, growth)
        self.RDB2 = DenseBlock(channels, growth)
        self.RDB3 = DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + _RESIDUAL_SCALE * self.RDB3(self.RDB2(self.RDB1(x)))
        return out


class RRDBNet(nn.Module):
    """(B, 3, H, W) RGB in 0..1 to (B, 3, 4H, 4W); the sizes are the published ones if none are given."""

    def __init__(self, blocks: int = PUBLISHED[0], channels: int = PUBLISHED[1], growth: int = PUBLISHED[2]) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, channels, 3, 1, 1)
        self.RRDB_trunk = nn.Sequential(*(ResidualDenseBlocks(channels, growth) for _ in range(blocks)))
        self.trunk_conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.upconv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.upconv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.HRconv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv_last = nn.Conv2d(channels, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_first(x)
        features = first + self.trunk_conv(self.RRDB_trunk(first))
        for layer in (self.upconv1, self.upconv2):
            features = F.leaky_relu(layer(F.interpolate(features, scale_factor=2.0, mode="nearest")), 0.2)
        out: Tensor = self.conv_last(F.leaky_relu(self.HRconv(features), 0.2))
        return out


class Esrgan:
    """ESRGAN x4 as an upscaler of pictures, with as many blocks and channels as its weights have."""

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        """Loads the weights. Raises EngineError for a file that is not an x4 generator."""
        self._device = torch.device(device)
        network = RRDBNet(*_dimensions(weights))
        load_strictly(network, weights)
        network = network.eval().requires_grad_(False).to(self._device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        self._network = network

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from a square picture: four times as large, then resampled to `size`.

        A picture that is large enough already does not pass the network.
        """
        if picture.shape[0] >= size:
            return resampled(picture, size)
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        with torch.inference_mode():
            out = self._network(pixels.permute(2, 0, 1)[None].float().div_(255))[0]
            large = (out.permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
        return resampled(np.ascontiguousarray(large), size)


def resampled(picture: Picture, size: int) -> Picture:
    """(size, size, 3) without a network: by area when it shrinks, bicubic when it grows, the same if it fits."""
    if picture.shape[:2] == (size, size):
        return picture
    way = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=way), np.uint8)


def _dimensions(weights: Path) -> tuple[int, int, int]:
    """Blocks, channels and growth of the network in a file; the published ones if the file is something else."""
    try:
        with safe_open(weights, "pt") as file:
            blocks = sum(name.endswith(".RDB1.conv1.weight") for name in file.keys())  # noqa: SIM118  # not a dict
            channels, growth = (
                file.get_slice(name).get_shape()[0] for name in ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight")
            )
    except (SafetensorError, OSError, IndexError):
        return PUBLISHED  # what is wrong with the file comes out when it is loaded
    return (blocks, channels, growth) if channels and growth else PUBLISHED
