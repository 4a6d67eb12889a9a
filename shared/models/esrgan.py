"""The ESRGAN x4 generator: residual-in-residual dense blocks (Wang et al. 2018, section 3.1).

Parameter names are those of the published checkpoints (`RRDB_trunk.0.RDB1.conv1.weight`), so that they load unchanged.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.engine import Picture, load_strictly

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
    """(B, 3, H, W) RGB in 0..1 to (B, 3, 4H, 4W); the published network has 23 blocks of 64 channels, growth 32."""

    def __init__(self, blocks: int = 23, channels: int = 64, growth: int = 32) -> None:
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
    """ESRGAN as an upscaler of pictures. Raises EngineError for a file that is not a 23-block x4 generator."""

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        self._device = torch.device(device)
        network = RRDBNet()
        load_strictly(network, weights)
        network = network.eval().requires_grad_(False).to(self._device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        self._network = network

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from a square picture: four times as large, then resampled to `size`."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        with torch.inference_mode():
            out = self._network(pixels.permute(2, 0, 1)[None].float().div_(255))[0]
            large = (out.permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
        if large.shape[0] == size:
            return np.ascontiguousarray(large)
        way = cv2.INTER_AREA if large.shape[0] > size else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(large, (size, size), interpolation=way), np.uint8)
