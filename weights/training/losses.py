"""What the networks are trained to do; no loss needs a downloaded network.

Lip and eyelid *openings* are supervised as differences of landmarks: errors of position alone let the mouth stay shut.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.models.compact import LANDMARKS, grid

_OPENINGS = (
    (13, 14), (0, 17), (61, 291), (159, 145), (386, 374), (105, 159), (334, 386), (1, 13), (152, 14),
)  # fmt: skip
_A = [LANDMARKS.index(a) for a, _ in _OPENINGS]
_B = [LANDMARKS.index(b) for _, b in _OPENINGS]
_FEATURES = [LANDMARKS.index(i) for i in (61, 291, 13, 14, 159, 145, 386, 374)]


def attention(landmarks: Tensor, ok: Tensor, size: int, gain: float = 9.0) -> Tensor:
    """(B, 1, S, S) pixel weights: 1, and up to 1 + gain around lips and eyes where landmarks (B, L, 3) are known."""
    g = grid(size, landmarks.device)
    distance = ((g[None, None] - landmarks[:, _FEATURES, None, None, :2]) ** 2).sum(-1)
    near = torch.exp(-distance / 0.012).amax(1, keepdim=True)
    return 1 + gain * near * ok[:, None, None, None]


def pyramid(a: Tensor, b: Tensor, weight: Tensor, levels: int = 4) -> Tensor:
    """Weighted L1 over `levels` scales, each half of the one before."""
    total = a.new_zeros(())
    for _ in range(levels):
        total = total + (weight * (a - b).abs()).mean()
        a, b, weight = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), F.avg_pool2d(weight, 2)
    return total / levels


def gradient(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 of horizontal and vertical differences: edges where they should be, as sharp as they should be."""
    dx = (a - b).diff(dim=-1).abs() * weight[..., :, 1:]
    dy = (a - b).diff(dim=-2).abs() * weight[..., 1:, :]
    return dx.mean() + dy.mean()


def landmark(points: Tensor, truth: Tensor, ok: Tensor) -> Tensor:
    """Keypoints (B, K, 3) against landmarks (B, L, 3): positions, depth at a third of the weight, openings at four."""
    own = points[:, : len(LANDMARKS)]
    position = (own[..., :2] - truth[..., :2]).abs().mean((1, 2))
    depth = (own[..., 2] - truth[..., 2]).abs().mean(1)
    a, b = own[..., :2], truth[..., :2]
    opening = ((a[:, _A] - a[:, _B]) - (b[:, _A] - b[:, _B])).abs().mean((1, 2))
    return ((position + 0.3 * depth + 4 * opening) * ok).mean()
