"""The generator: a source becomes a feature volume, once; the volume is warped in 3D and decoded, for every frame.

The decoder is of residual blocks whose norms are steered by the features at every place (SPADE).
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import DownBlock2d, ResBlock3d, SameBlock2d, SpectralConv2d
from shared.models.vox256.dense_motion import CHANNELS, DenseMotion
from shared.models.vox256.motion import DEPTH

_HIDDEN = 128
_SLOPE = 0.2
_RESIDUALS = 6


class Spade(nn.Module):
    """Instance norm, then at every place a gain and a shift read from the features."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(features, _HIDDEN, 3, 1, 1), nn.ReLU(inplace=True))
        self.mlp_gamma = nn.Conv2d(_HIDDEN, channels, 3, 1, 1)
        self.mlp_beta = nn.Conv2d(_HIDDEN, channels, 3, 1, 1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        shared = self.mlp_shared(features)
        out: Tensor = F.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)
        return out


class SpadeBlock(nn.Module):
    """Residual block; where channels change, the way around is normed and convolved, too."""

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        inner = min(inputs, outputs)
        self.conv_0 = SpectralConv2d(inputs, inner, 3)
        self.conv_1 = SpectralConv2d(inner, outputs, 3)
        self.norm_0 = Spade(inputs, features)
        self.norm_1 = Spade(inner, features)
        self._changes = inputs != outputs
        if self._changes:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, features)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        if features.shape[-1] != x.shape[-1]:
            features = F.interpolate(features, size=x.shape[-2:], mode="nearest")
        out: Tensor = self.conv_0(F.leaky_relu(self.norm_0(x, features), _SLOPE, inplace=True))
        out = self.conv_1(F.leaky_relu(self.norm_1(out, features), _SLOPE, inplace=True))
        around: Tensor = self.conv_s(self.norm_s(x, features)) if self._changes else x
        return around + out


class SpadeDecoder(nn.Module):
    """(B, 256, h, w) features to a (B, 3, 4h, 4w) picture in 0..1."""

    blocks = 6

    def __init__(self, features: int = 256, last: int = 64) -> None:
        super().__init__()
        self.fc = nn.Conv2d(features, 2 * features, 3, 1, 1)
        for n in range(self.blocks):
            self.add_module(f"G_middle_{n}", SpadeBlock(2 * features, 2 * features, features))
        self.up_0 = SpadeBlock(2 * features, features, features)
        self.up_1 = SpadeBlock(features, last, features)
        self.conv_img = nn.Conv2d(last, 3, 3, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.fc(features)
        for n in range(self.blocks):
            x = self.get_submodule(f"G_middle_{n}")(x, features)
        for block in (self.up_0, self.up_1):
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), features)
        out: Tensor = self.conv_img(F.leaky_relu(x, _SLOPE, inplace=True))
        return out.sigmoid()


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
