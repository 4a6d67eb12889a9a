"""What the networks of the `compact` engine are made of: motions as tensors, keypoint geometry, warping, small layers.

Inside the networks angles are radians; pictures are (B, 3, S, S) in 0..1, coordinates -1..1.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEYPOINTS = 28
"""The first 23 follow face-mesh landmarks (see LANDMARKS), the rest are free for hair, neck and shoulders."""

LANDMARKS = (1, 152, 33, 468, 473, 263, 70, 105, 336, 334, 61, 291, 0, 13, 14, 17, 234, 454, 10, 159, 145, 386, 374)
"""Face-mesh index of each supervised keypoint: nose, chin, outer eye corners and irises, brows, lips, cheeks, forehead,
eyelids."""


class MotionTensors(NamedTuple):
    """Batched output of the motion network; see `shared.motion` for the meaning of each part."""

    canonical: Tensor
    """(B, K, 3)"""
    rotation: Tensor
    """(B, 3) yaw, pitch, roll in radians"""
    scale: Tensor
    """(B, 1)"""
    translation: Tensor
    """(B, 2) tx, ty; this engine works in the picture plane"""
    expression: Tensor
    """(B, K, 3)"""

    def condition(self) -> Tensor:
        """(B, 3K + 6) what the generator is told about this motion besides its keypoints."""
        return torch.cat([self.expression.flatten(1), self.rotation, self.scale, self.translation], 1)


def rotation_matrix(rotation: Tensor) -> Tensor:
    """(B, 3, 3) Rx(pitch) Ry(yaw) Rz(roll) of (B, 3) yaw, pitch, roll in radians."""
    yaw, pitch, roll = rotation.unbind(-1)
    cy, sy, cp, sp, cr, sr = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin(), roll.cos(), roll.sin()
    rows = [
        torch.stack([cy * cr, -cy * sr, sy], -1),
        torch.stack([cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy], -1),
        torch.stack([sp * sr - cp * sy * cr, sp * cr + cp * sy * sr, cp * cy], -1),
    ]
    return torch.stack(rows, -2)


def keypoints(canonical: Tensor, motion: MotionTensors) -> Tensor:
    """(B, K, 3) x_k = s · (R c_k + δ_k) + t, as in `shared.motion.keypoints`."""
    turned = canonical @ rotation_matrix(motion.rotation).transpose(1, 2) + motion.expression
    return motion.scale[:, None] * turned + F.pad(motion.translation, (0, 1))[:, None]


def flow_matrix(source: MotionTensors, driving: MotionTensors) -> Tensor:
    """(B, 2, 2) picture-plane part of s_s R_s R_dᵀ / s_d: how a neighbourhood turns from driving back to source."""
    turn = rotation_matrix(source.rotation) @ rotation_matrix(driving.rotation).transpose(1, 2)
    return turn[:, :2, :2] * (source.scale / driving.scale)[:, :, None]


def heatmaps(points: Tensor, size: int, variance: float) -> Tensor:
    """(B, K, size, size) Gaussians exp(-|g - x_k|² / variance) around (B, K, >=2) points in -1..1."""
    axis = torch.linspace(-1, 1, size, device=points.device, dtype=points.dtype)
    gx = torch.exp(-((axis - points[..., 0:1]) ** 2) / variance)
    gy = torch.exp(-((axis - points[..., 1:2]) ** 2) / variance)
    return gy[..., :, None] * gx[..., None, :]  # separable: 2 · size exponentials instead of size²


def grid(size: int, device: torch.device) -> Tensor:
    """(size, size, 2) picture coordinates (x, y) of each pixel, -1..1."""
    axis = torch.linspace(-1, 1, size, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Samples (B, C, H, W) at (B, h, w, 2) picture coordinates."""
    return F.grid_sample(image, flow, align_corners=True, padding_mode="border")


def pixels_last(x: Tensor) -> Tensor:
    """The same in channels_last: grid sampling gives planes, convolutions on a CPU are twice as fast on pixels."""
    return x.contiguous(memory_format=torch.channels_last)


def resize_flow(flow: Tensor, size: int) -> Tensor:
    """(B, size, size, 2) from (B, h, w, 2)."""
    planes = flow.permute(0, 3, 1, 2).contiguous()  # two channels in channels_last are twenty times slower
    return F.interpolate(planes, size=(size, size), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def softened(picture: Tensor) -> Tensor:
    """(B, C, S, S) weighted mean of each place's neighbours, 1-2-1 both ways; the edge repeats."""
    x = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    x = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    return (x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]) / 16


def chosen(x: Tensor, indices: tuple[int, ...]) -> Tensor:
    """x[:, indices] without a list that goes to a GPU every time: all wait for it, and no CUDA graph can hold it."""
    return x.index_select(1, index_tensor(indices, x.device))


@cache
def index_tensor(indices: tuple[int, ...], device: torch.device) -> Tensor:
    """(N,) int64 on a device, made once."""
    with torch.inference_mode(False):
        return torch.tensor(indices, device=device)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and SiLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.SiLU())


class Residual(nn.Module):
    """x + conv(silu(conv(x))), the identity at initialisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = conv(channels, channels)
        self.b = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.b.weight)
        if self.b.bias is not None:
            nn.init.zeros_(self.b.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.b(self.a(x))
        return out
