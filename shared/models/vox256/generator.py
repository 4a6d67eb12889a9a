"""The generator: a source becomes a feature volume, once; the volume is warped in 3D and decoded, for every frame.

    source ─► encoder ─► volume ──┬────────► warp ─► to 2D ─► × occlusion ─► SPADE decoder ─► picture
                                  │           ▲                  ▲
    keypoints of both ────────────┴► dense motion ───────────────┘

Wang et al. 2021, section 3, with the decoder of the published "vox-256 SPADE" checkpoints. AdaSR-TalkingHead is the
same, trained at 512x512 on degraded sources, without norms in the encoder.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import DownBlock2d, ResBlock3d, SameBlock2d
from shared.models.vox256.dense_motion import CHANNELS, DenseMotion
from shared.models.vox256.keypoint_detector import DEPTH
from shared.models.vox256.spade import SpadeDecoder

_RESIDUALS = 6


class Drawn(NamedTuple):
    """What the generator computes."""

    picture: Tensor
    """(B, 3, S, S) in 0..1"""
    flow: Tensor
    """(B, DEPTH, S/4, S/4, 3) source coordinates x, y, z"""
    occlusion: Tensor
    """(B, 1, S/4, S/4) 0..1, 0 where the source does not show what is to be seen"""


class Generator(nn.Module):
    """Sources encoded, and drawn under other keypoints. S is a multiple of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion()
        self.first = SameBlock2d(3, 64)
        self.down_blocks = nn.ModuleList([DownBlock2d(64, 128), DownBlock2d(128, 256)])
        self.second = nn.Conv2d(256, CHANNELS * DEPTH, 1)
        self.resblocks_3d = nn.Sequential()
        for n in range(_RESIDUALS):
            self.resblocks_3d.add_module(f"3dr{n}", ResBlock3d(CHANNELS))
        self.third = SameBlock2d(CHANNELS * DEPTH, 256, slope=0.01)
        self.fourth = nn.Conv2d(256, 256, 1)
        self.decoder = SpadeDecoder()

    def encode(self, picture: Tensor) -> Tensor:
        """(B, CHANNELS, DEPTH, S/4, S/4) volume of a (B, 3, S, S) picture in 0..1."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        volume = self.second(x).unflatten(1, (CHANNELS, DEPTH))
        out: Tensor = self.resblocks_3d(volume)
        return out

    def draw(self, volume: Tensor, source: Tensor, driving: Tensor) -> Drawn:
        """The picture of a volume whose (B, K, 3) keypoints move from `source` to `driving`."""
        flow, occlusion = self.dense_motion_network(volume, source, driving)
        warped = F.grid_sample(volume, flow, align_corners=False)
        features = self.fourth(self.third(warped.flatten(1, 2))) * occlusion
        return Drawn(self.decoder(features), flow, occlusion)

    def forward(self, picture: Tensor, source: Tensor, driving: Tensor) -> Drawn:
        return self.draw(self.encode(picture), source, driving)
