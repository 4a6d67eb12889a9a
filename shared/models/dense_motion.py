"""Dense motion of the `compact` engine: what is kept of a source, and where it goes for a driving frame.

2D, each candidate flow turned by the picture-plane part of the head rotation (after Wang et al. 2021, 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.layers import KEYPOINTS, MotionTensors, Residual, conv, grid, heatmaps, pixels_last, softened, warp

PAINTED = (10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 2, 3, 4, 5)
"""Keypoints whose driving position the generator sees as heatmaps (lips, lids, irises), or the mouth opens late."""
COMPRESSED = 6
_CONDITION = 2 * (3 * KEYPOINTS + 6)
_NEARNESS = 20.0
"""Nats that a source loses at the start of training by keypoints that lie half a picture from where they should."""


class Widths(NamedTuple):
    """Channels of the networks that draw; the motion network is the same for all, so the wire does not care."""

    features: int = 48
    dense: int = 48
    deep: int = 80
    half: int = 24
    residuals: int = 2


GENERATORS = {"compact": Widths(), "standard": Widths(features=128, dense=112, deep=288, half=80, residuals=4)}
"""For two CPU cores; about ten times that, for a GPU."""


class SourceFeatures(NamedTuple):
    """What is kept of a source."""

    picture: Tensor
    """(B, 3, S, S)"""
    features: Tensor
    """(B, features, S/4, S/4)"""
    compressed: Tensor
    """(B, COMPRESSED, S/8, S/8) for the dense motion"""


class Source(NamedTuple):
    """A source with its keypoints, ready to draw from."""

    features: SourceFeatures
    canonical: Tensor
    """(B, K, 3)"""
    motion: MotionTensors
    fine: Tensor | None = None
    """(B, 3, n·S, n·S) the source picture in more detail, for a larger drawn one"""


class Moved(NamedTuple):
    """Where a source goes, at a quarter of the picture's size."""

    flow: Tensor
    """(B, S/4, S/4, 2) source coordinates"""
    occlusion: Tensor
    """(B, 1, S/4, S/4) 0..1, 0 where the source does not show what is to be seen"""
    visibility: Tensor
    """(B, 1, S/4, S/4) logits: sources compete for every place"""


class SourceEncoder(nn.Module):
    """Picture to features, once a source. No normalisation: sources arrive at any quality (AdaSR, Wang et al. 2024)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), conv(12, 32), conv(32, features, 3, 2), Residual(features), Residual(features)
        )
        self.compress = nn.Conv2d(features, COMPRESSED, 3, 2, 1)

    def forward(self, picture: Tensor) -> SourceFeatures:
        features = self.layers(picture * 2 - 1)
        return SourceFeatures(picture, features, self.compress(features))


class DenseMotion(nn.Module):
    """Keypoint motion to a flow of source coordinates, an occlusion map, and how well the source shows each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.input = conv((KEYPOINTS + 1) * COMPRESSED + KEYPOINTS, w, 1)
        self.down = nn.ModuleList([conv(w, w, 3, 2), conv(w, w * 2, 3, 2), conv(w * 2, w * 2, 3, 2)])
        self.up = nn.ModuleList([conv(w * 2, w * 2), conv(w * 4, w), conv(w * 2, w)])
        self.join = conv(w * 2, w)
        # per pixel at twice the resolution: K + 1 mask logits, occlusion, residual flow
        self.head = nn.Sequential(nn.Conv2d(w, (KEYPOINTS + 4) * 4, 3, 1, 1), nn.PixelShuffle(2))
        last = self.head[0]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)
        seen = nn.Conv2d(w, 4, 3, 1, 1)
        nn.init.zeros_(seen.weight)
        self.visibility = nn.Sequential(seen, nn.PixelShuffle(2))

    def forward(
        self, source: SourceFeatures, matrix: Tensor, ks: Tensor, kd: Tensor, told: Tensor | None = None
    ) -> Moved:
        """`told`: (B, dense, S/8, S/8) of a base layer."""
        z = source.compressed
        batch, channels, size, _ = z.shape
        # candidate k maps driving point g to J (g - x_k^d) + x_k^s = J g + offset_k; candidate 0 leaves g where it is
        offsets = ks[..., :2] - kd[..., :2] @ matrix.transpose(1, 2)
        g = grid(size, z.device)
        turned = (g.reshape(1, -1, 2) @ matrix.transpose(1, 2)).view(batch, 1, size, size, 2)
        candidates = torch.cat([g.expand(batch, 1, size, size, 2), turned + offsets[:, :, None, None]], 1)
        # one call over all candidates: they sample the same features
        warped = warp(z, candidates.view(batch, -1, size, 2)).view(batch, channels * (KEYPOINTS + 1), size, size)
        moved = heatmaps(kd, size, 0.02) - heatmaps(ks, size, 0.02)
        skips = [added(self.input, pixels_last(torch.cat([warped, moved], 1)), told)]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        x = skips.pop()
        for layer in self.up:
            x = torch.cat([F.interpolate(layer(x), size=skips[-1].shape[-2:], mode="nearest"), skips.pop()], 1)
        x = self.join(x)
        flow, occlusion = self._combine(self.head(x), matrix, offsets)
        return Moved(flow, occlusion, self.visibility(x))

    @staticmethod
    def _combine(out: Tensor, matrix: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The flow Σ m_k (J g + offset_k) needs no per-candidate field: J g and g are shared, offsets are a product."""
        batch, _, size, _ = out.shape
        mask = out[:, : KEYPOINTS + 1].softmax(1)
        still = mask[:, 0, :, :, None]
        g = grid(size, out.device)
        turned = (g.reshape(1, -1, 2) @ matrix.transpose(1, 2)).view(batch, size, size, 2)
        moved = torch.einsum("bkhw,bkc->bhwc", mask[:, 1:], offsets)
        residual = 0.1 * out[:, KEYPOINTS + 2 :].permute(0, 2, 3, 1)
        flow = still * g + (1 - still) * turned + moved + residual
        # every other place comes from another channel, and their difference would scallop edges and roughen skin
        flow = softened(flow.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return flow, torch.sigmoid(out[:, KEYPOINTS + 1 : KEYPOINTS + 2] + 2)


def added(layers: nn.Module, x: Tensor, more: Tensor | None) -> Tensor:
    """A convolution and its activation (see `layers.conv`), with something added in between."""
    convolution, activation = layers.children()
    y: Tensor = convolution(x)
    out: Tensor = activation(y if more is None else y + more.to(y.dtype))
    return out
