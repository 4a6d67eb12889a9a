"""Dense motion: keypoints to a flow through the feature volume and to what of it is hidden (Wang et al. 2021, 3.2)."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.vox256.blocks import DownBlock3d, Foldable, UpBlock3d, volume_grid
from shared.models.vox256.motion import DEPTH, KEYPOINTS

CHANNELS = 32
"""Of the feature volume."""
_COMPRESSED = 4
_INPUTS = (KEYPOINTS + 1) * (_COMPRESSED + 1)
_WIDTHS = (64, 128, 256, 512, 1024)
_VARIANCE = 0.01
"""Of the Gaussian around a keypoint."""


class Encoder(nn.Module):
    """The volume at each size, largest first."""

    def __init__(self) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(DownBlock3d(a, b) for a, b in itertools.pairwise((_INPUTS, *_WIDTHS)))

    def forward(self, x: Tensor) -> list[Tensor]:
        sizes = [x]
        for block in self.down_blocks:
            sizes.append(block(sizes[-1]))
        return sizes


class Decoder(Foldable):
    """Back to the largest size, each one joined with what the encoder saw at it."""

    outputs = CHANNELS + _INPUTS

    def __init__(self) -> None:
        super().__init__()
        widths = [*reversed(_WIDTHS), CHANNELS]
        inputs = [widths[0], *(2 * width for width in widths[1:-1])]
        self.up_blocks = nn.ModuleList(UpBlock3d(a, b) for a, b in zip(inputs, widths[1:], strict=True))
        self.conv = nn.Conv3d(self.outputs, self.outputs, 3, 1, 1)
        self.norm = nn.BatchNorm3d(self.outputs)

    def forward(self, sizes: list[Tensor]) -> Tensor:
        *skips, x = sizes
        for block in self.up_blocks:
            x = torch.cat([block(x), skips.pop()], 1)
        return F.relu_(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


class DenseMotion(Foldable):
    """Flow and occlusion for a feature volume, from where its keypoints are to where they go."""

    followed = (("compress", "norm"),)

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass()
        self.mask = nn.Conv3d(Decoder.outputs, KEYPOINTS + 1, 7, 1, 3)
        self.compress = nn.Conv3d(CHANNELS, _COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(_COMPRESSED)
        self.occlusion = nn.Conv2d(Decoder.outputs * DEPTH, 1, 7, 1, 3)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D, H, W, 3) source coordinates x, y, z of each place, and (B, 1, H, W) how much of it is to be seen.

        volume: (B, CHANNELS, D, H, W) of the source; source, driving: (B, KEYPOINTS, 3).
        """
        grid = volume_grid(volume.shape[2:], volume)
        shifts = F.pad(source - driving, (0, 0, 1, 0))  # the first candidate leaves everything where it is
        candidates = grid + shifts[:, :, None, None, None]
        moved = _sampled(F.relu(self.norm(self.compress(volume))), candidates)
        heat = _heat(driving, grid) - _heat(source, grid)
        seen = torch.cat([F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None], moved], 2)
        out = self.hourglass(seen.flatten(1, 2))
        shares = self.mask(out).softmax(1)
        # the shares sum to one, so that the candidates' common part stays as it is
        flow = grid + torch.einsum("bkdhw,bkc->bdhwc", shares, shifts)
        return flow, self.occlusion(out.flatten(1, 2)).sigmoid()


def _sampled(volume: Tensor, candidates: Tensor) -> Tensor:
    """(B, N, C, D, H, W) of a (B, C, D, H, W) volume at (B, N, D, H, W, 3) coordinates."""
    count, depth = candidates.shape[1:3]
    stacked = candidates.flatten(1, 2)  # along depth: one call, and the volume is not repeated
    out = F.grid_sample(volume, stacked, align_corners=False)
    return out.view(*out.shape[:2], count, depth, *out.shape[3:]).transpose(1, 2)


def _heat(points: Tensor, grid: Tensor) -> Tensor:
    """(B, K, D, H, W) Gaussians around (B, K, 3) points."""
    squared = (grid - points[:, :, None, None, None]).square().sum(-1)
    return torch.exp(-0.5 / _VARIANCE * squared)
