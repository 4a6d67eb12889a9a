"""The motion network of the `compact` engine: a picture to canonical keypoints, head pose and expression."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.layers import (
    KEYPOINTS,
    LANDMARKS,
    MotionTensors,
    Residual,
    chosen,
    conv,
    grid,
    index_tensor,
    keypoints,
    pixels_last,
    warp,
)

MOTION_INPUT = 256
HIDDEN = 256
_OVERVIEW = 128
"""Side of the picture in which the whole head is read; lids and lips are read again at MOTION_INPUT."""
_EYES = ((33, 159, 145, 468), (263, 386, 374, 473))
"""Face-mesh indices of each eye's outer corner, lids and iris; the second eye is read mirrored."""
_LIPS = (61, 291, 0, 13, 14, 17)
_EYE_REACH, _LIPS_REACH = 0.85, 1.45
"""Half sides of the patches in units of the head's scale."""


class Patch(nn.Module):
    """A small square around an eye or the mouth to corrections of its keypoints, in half sides of the square."""

    def __init__(self, side: int, points: int) -> None:
        super().__init__()
        self.side, self.points = side, points
        self.layers = nn.Sequential(conv(3, 24, 3, 2), conv(24, 48, 3, 2), conv(48, 64, 3, 2))
        self.hidden = nn.Sequential(nn.Linear(64 * (side // 8) ** 2 + HIDDEN, 96), nn.SiLU())
        self.out = nn.Linear(96, points * 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def features(self, patch: Tensor) -> Tensor:
        """(B, 64, side/8, side/8) of (B, 3, side, side), whatever its light and contrast."""
        centred = patch - patch.mean((1, 2, 3), keepdim=True)
        contrast = centred.square().mean((1, 2, 3), keepdim=True).add(1e-4).sqrt()
        out: Tensor = self.layers(centred / contrast)
        return out

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """(B, points, 2)"""
        out: Tensor = self.out(self.hidden(torch.cat([features.flatten(1), context], 1)))
        return out.view(-1, self.points, 2)


class MotionReading(NamedTuple):
    """A motion, and what it was read from."""

    motion: MotionTensors
    features: list[Tensor]
    """Activations of the whole head and of eyes and mouth, for losses that compare pictures."""


class MotionNetwork(nn.Module):
    """Picture to canonical keypoints, head pose and expression. Input (B, 3, 256, 256) in 0..1.

    The whole head is read at half size; then eyes and mouth once more at full size, where the first reading says they
    are: a lid that closes moves by four pixels of the small picture.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        channels = [width, width * 2, width * 4, width * 6, width * 8]
        stages: list[nn.Module] = [self._stage(3, channels[0], 5)]
        for inputs, outputs in itertools.pairwise(channels):
            stages += [self._stage(inputs, outputs, 3), Residual(outputs)]
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * 16, HIDDEN), nn.SiLU())
        self.pose = nn.Linear(HIDDEN, 6)
        self.expression = nn.Linear(HIDDEN, KEYPOINTS * 3)
        self.canonical = nn.Linear(HIDDEN, KEYPOINTS * 3)
        for head in (self.pose, self.expression):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)
        self.eye = Patch(32, 3)
        self.lips = Patch(48, len(_LIPS))

    @staticmethod
    def _stage(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2), nn.GroupNorm(8, outputs), nn.SiLU())

    def forward(self, picture: Tensor) -> MotionTensors:
        return self.detailed(picture, *self.overview(picture)).motion

    def overview(self, picture: Tensor) -> tuple[MotionTensors, Tensor, list[Tensor]]:
        """The first reading, the (B, HIDDEN) output of the last layer but one, and features at 64, 32 and 16 px."""
        x, features = F.avg_pool2d(picture, MOTION_INPUT // _OVERVIEW) * 2 - 1, []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in (0, 2, 4):
                features.append(x)
        hidden: Tensor = self.hidden(x)
        pose = self.pose(hidden)
        motion = MotionTensors(
            canonical=self.canonical(hidden).view(-1, KEYPOINTS, 3),
            rotation=pose[:, :3],
            scale=pose[:, 3:4].exp(),
            translation=pose[:, 4:],
            expression=self.expression(hidden).view(-1, KEYPOINTS, 3),
        )
        return motion, hidden, features

    def detailed(self, picture: Tensor, motion: MotionTensors, hidden: Tensor, features: list[Tensor]) -> MotionReading:
        """The first reading with lids, irises and lips corrected."""
        motion = MotionTensors(*(t.float() for t in motion))
        points = keypoints(motion.canonical, motion).detach()
        roll, scale = motion.rotation[:, 2].detach(), motion.scale.detach()
        reads: tuple[tuple[Patch, tuple[int, ...], tuple[int, ...], float, int], ...] = (
            (self.eye, _EYES[0], _EYES[0][1:], _EYE_REACH, 1),
            (self.eye, _EYES[1], _EYES[1][1:], _EYE_REACH, -1),
            (self.lips, _LIPS, _LIPS, _LIPS_REACH, 1),
        )
        corrections = torch.zeros_like(motion.expression)
        for patch, around, corrected, reach, mirrored in reads:
            centre = chosen(points, _places(around))[..., :2].mean(1)
            cos, sin = roll.cos() * reach, roll.sin() * reach  # in units of the head's scale
            axes = torch.stack([torch.stack([cos * mirrored, -sin], -1), torch.stack([sin * mirrored, cos], -1)], 1)
            g = grid(patch.side, picture.device).reshape(1, -1, 2) @ (axes * scale[:, :, None]).transpose(1, 2)
            square = warp(picture, (g + centre[:, None]).view(-1, patch.side, patch.side, 2))
            seen = patch.features(pixels_last(square))
            features = [*features, seen]
            moved = patch(seen, hidden).float() @ axes.transpose(1, 2)
            index = index_tensor(_places(corrected), moved.device)
            corrections = corrections.index_add(1, index, F.pad(moved.float(), (0, 1)))
        return MotionReading(motion._replace(expression=motion.expression + corrections), features)


def _places(landmarks: tuple[int, ...]) -> tuple[int, ...]:
    """Of face-mesh landmarks among the keypoints."""
    return tuple(LANDMARKS.index(i) for i in landmarks)
