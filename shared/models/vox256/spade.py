"""The decoder of the generator: residual blocks whose norms are steered by the features at every place (SPADE).

Park et al. 2019, as in the published face-vid2vid checkpoints.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import SpectralConv2d

_HIDDEN = 128
_SLOPE = 0.2


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
