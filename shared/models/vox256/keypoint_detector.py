"""Canonical keypoints of a picture: a 2D encoder, a 3D decoder and the centre of mass of each keypoint's heatmap.

Wang et al. 2021, appendix A, as in the re-implementation whose checkpoints are published.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import DownBlock2d, UpBlock3d, volume_grid

KEYPOINTS = 15
DEPTH = 16
_SHRINK = 4
_TEMPERATURE = 0.1
"""Of the softmax that makes a heatmap of a volume."""
_ENCODER = (3, 64, 128, 256, 512, 1024)
_DECODER = (1024, 512, 256, 128, 64, 32)


class Shrink(nn.Module):
    """A quarter of the size: blurred, then every fourth pixel."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        deviation = (_SHRINK - 1) / 2
        axis = torch.arange(13) - 6.0
        kernel = torch.exp(-(axis**2) / (2 * deviation**2))
        kernel = kernel[:, None] * kernel
        self.register_buffer("weight", (kernel / kernel.sum()).expand(3, 1, 13, 13).clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=_SHRINK, padding=6, groups=3)


class Hourglass(nn.Module):
    """(B, 3, H, W) to (B, 32, DEPTH, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        down = [DownBlock2d(a, b) for a, b in itertools.pairwise(_ENCODER)]
        up = [UpBlock3d(a, b) for a, b in itertools.pairwise(_DECODER)]
        self.down_blocks = nn.ModuleDict({f"down{n}": block for n, block in enumerate(down)})
        self.conv = nn.Conv2d(_ENCODER[-1], _DECODER[0] * DEPTH, 1)
        self.up_blocks = nn.ModuleDict({f"up{n}": block for n, block in enumerate(up)})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.down_blocks.values():
            x = block(x)
        x = self.conv(x).unflatten(1, (_DECODER[0], DEPTH))
        for block in self.up_blocks.values():
            x = block(x)
        return x


class KeypointDetector(nn.Module):
    """(B, 3, S, S) picture in 0..1 to (B, KEYPOINTS, 3) canonical keypoints; S is a multiple of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = Hourglass()
        self.kp = nn.Conv3d(_DECODER[-1], KEYPOINTS, 3, 1, 1)
        self.down = Shrink()

    def forward(self, picture: Tensor) -> Tensor:
        volume = self.kp(self.predictor(self.down(picture)))
        heat: Tensor = (volume.flatten(2) / _TEMPERATURE).softmax(2)
        return heat @ volume_grid(volume.shape[2:], heat).view(-1, 3)
