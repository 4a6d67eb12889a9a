"""Head pose, translation and expression of a picture: a residual network with a classifier of bins for each angle."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import Bottleneck, Foldable
from shared.models.vox256.keypoint_detector import KEYPOINTS

BINS = 66
BIN_DEGREES, FIRST_BIN = 3.0, -99.0
PUBLISHED_PI = 3.14
"""What the checkpoints were trained with: their degrees are larger than ours by so little."""


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
