"""Motion networks: the keypoint detector (canonical keypoints of a picture) and the pose estimator.

The detector is a 2D encoder, a 3D decoder and the centre of mass of each keypoint's heatmap; the estimator, of head
pose, translation and expression, a residual network with a classifier of bins for each angle.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import Bottleneck, DownBlock2d, Foldable, UpBlock3d, volume_grid

KEYPOINTS = 15
DEPTH = 16
_SHRINK = 4
_TEMPERATURE = 0.1
"""Of the softmax that makes a heatmap of a volume."""
_ENCODER = (3, 64, 128, 256, 512, 1024)
_DECODER = (1024, 512, 256, 128, 64, 32)
BINS = 66
BIN_DEGREES, FIRST_BIN = 3.0, -99.0
PUBLISHED_PI = 3.14
"""What the checkpoints were trained with: their degrees are larger than ours by so little."""


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


class Pose(NamedTuple):
    """Raw outputs of the estimator."""

    yaw: Tensor
    """(B, BINS) logits, of pitch and roll the same"""
    pitch: Tensor
    roll: Tensor
    translation: Tensor
    """(B, 3)"""
    expression: Tensor
    """(B, 3 * KEYPOINTS)"""


class PoseEstimator(Foldable):
    """(B, 3, S, S) picture in 0..1 to its pose."""

    followed = tuple((f"conv{n}", f"norm{n}") for n in range(1, 6))

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.conv2 = nn.Conv2d(64, 256, 1)
        self.conv3 = nn.Conv2d(256, 512, 1)
        self.conv4 = nn.Conv2d(512, 1024, 1)
        self.conv5 = nn.Conv2d(1024, 2048, 1)
        self.norm1, self.norm2, self.norm3 = nn.BatchNorm2d(64), nn.BatchNorm2d(256), nn.BatchNorm2d(512)
        self.norm4, self.norm5 = nn.BatchNorm2d(1024), nn.BatchNorm2d(2048)
        self.block1, self.block2 = _bottlenecks("b1", 256, 3), Bottleneck(512, 2)
        self.block3, self.block4 = _bottlenecks("b3", 512, 3), Bottleneck(1024, 2)
        self.block5, self.block6 = _bottlenecks("b5", 1024, 5), Bottleneck(2048, 2)
        self.block7 = _bottlenecks("b7", 2048, 2)
        self.fc_yaw, self.fc_pitch, self.fc_roll = (nn.Linear(2048, BINS) for _ in range(3))
        self.fc_t = nn.Linear(2048, 3)
        self.fc_exp = nn.Linear(2048, 3 * KEYPOINTS)

    def forward(self, picture: Tensor) -> Pose:
        x = F.max_pool2d(F.relu_(self.norm1(self.conv1(picture))), 3, 2, 1)
        x = self.block1(F.relu_(self.norm2(self.conv2(x))))
        x = self.block2(F.relu_(self.norm3(self.conv3(x))))
        x = self.block4(F.relu_(self.norm4(self.conv4(self.block3(x)))))
        x = self.block6(F.relu_(self.norm5(self.conv5(self.block5(x)))))
        x = self.block7(x).mean((2, 3))
        # Crossed in the published training: its yaw is read from `fc_roll`, its roll from `fc_yaw`.
        return Pose(self.fc_roll(x), self.fc_pitch(x), self.fc_yaw(x), self.fc_t(x), self.fc_exp(x))


def angles(pose: Pose) -> Tensor:
    """(B, 3) yaw, pitch, roll in degrees: the mean of each classifier's bins, as large as it was meant in training."""
    logits = torch.stack(pose[:3], 1)
    bins = torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    degrees = (logits.softmax(2) * bins).sum(2) * BIN_DEGREES + FIRST_BIN
    return degrees * (PUBLISHED_PI / math.pi)


def _bottlenecks(name: str, channels: int, count: int) -> nn.Sequential:
    blocks = nn.Sequential()
    for n in range(count):
        blocks.add_module(f"{name}_{n}", Bottleneck(channels))
    return blocks
