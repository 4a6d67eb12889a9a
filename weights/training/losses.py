"""What the networks are trained to do; no loss needs a downloaded network.

Lip and eyelid *openings* are supervised as differences of landmarks: errors of position alone let the mouth stay shut.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.models.layers import LANDMARKS, MotionTensors, chosen, grid, keypoints, rotation_matrix
from shared.models.motion_network import MotionNetwork
from weights.training.data import Side

_OPENINGS = (
    (13, 14), (0, 17), (61, 291), (159, 145), (386, 374), (105, 159), (334, 386), (1, 13), (152, 14), (61, 13),
    (291, 13), (33, 468), (263, 473), (159, 468), (386, 473),
)  # fmt: skip
"""Mouth, eyelids, brows, and the irises in their eyes."""
_A = tuple(LANDMARKS.index(a) for a, _ in _OPENINGS)
_B = tuple(LANDMARKS.index(b) for _, b in _OPENINGS)
_FEATURES = (61, 291, 13, 14, 159, 145, 386, 374)
"""Landmarks around which the picture matters most."""


_ALIKE = 0.02
"""Difference of two pictures around a place, of 1, that means a movement."""


def attention(mesh: Tensor, ok: Tensor, size: int, gain: float = 9.0) -> Tensor:
    """(B, 1, S, S) pixel weights: 1, and up to 1 + gain around lips and eyes where landmarks (B, L, 3) are known."""
    g = grid(size, mesh.device)
    distance = ((g[None, None] - chosen(mesh, _FEATURES)[:, :, None, None, :2]) ** 2).sum(-1)
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


def texture(a: Tensor, b: Tensor, weight: Tensor, window: int = 16) -> Tensor:
    """Weighted L1 of how much detail there is in windows of so many px, wherever in them: an error of pixels alone
    rewards softness, as detail that is a pixel off counts twice."""

    def detail(picture: Tensor) -> Tensor:
        grey = picture.mean(1, keepdim=True)
        x, y = grey.diff(n=2, dim=-1).abs(), grey.diff(n=2, dim=-2).abs()
        return F.avg_pool2d(x[..., 1:-1, :] + y[..., :, 1:-1], window, window // 2)

    return (F.avg_pool2d(weight[..., 1:-1, 1:-1], window, window // 2) * (detail(a) - detail(b)).abs()).mean()


def undecided(copied: Tensor) -> Tensor:
    """How much of the blend (B, 1, S, S) is half and half: a hedge that pixel errors like and eyes do not."""
    return (copied * (1 - copied)).mean()


def still(flows: Sequence[Tensor], sources: Sequence[Tensor], true: Tensor) -> Tensor:
    """How far flows (B, h, w, 2) move what stands still: walls bend less if they are told not to.

    A place stands still as far as (B, 3, S, S) source and driving picture are alike there and around.
    """
    total = true.new_zeros(())
    for flow, source in zip(flows, sources, strict=True):
        apart = F.adaptive_avg_pool2d((source - true).abs().mean(1, keepdim=True), flow.shape[1])
        apart = F.max_pool2d(F.avg_pool2d(apart, 3, 1, 1), 5, 1, 2)
        alike = torch.exp(-((apart / _ALIKE) ** 2))[:, 0]
        moved = (flow - grid(flow.shape[1], flow.device)).abs().sum(-1)
        total = total + (alike * moved).mean()
    return total / len(flows)


def landmark(points: Tensor, side: Side) -> Tensor:
    """Keypoints (B, K, 3) against landmarks: positions, depth at a third of the weight, openings at four."""
    own, truth = points[:, : len(LANDMARKS)], chosen(side.mesh, LANDMARKS)
    position = (own[..., :2] - truth[..., :2]).abs().mean((1, 2))
    depth = (own[..., 2] - truth[..., 2]).abs().mean(1)
    return ((position + 0.3 * depth + 4 * openings(own, truth)) * side.ok).mean()


def openings(own: Tensor, truth: Tensor) -> Tensor:
    """(B,) error of the distances that mouth, eyes and brows are read by, of keypoints (B, >=25, 3)."""
    a, b = own[..., :2], truth[..., :2]
    return ((chosen(a, _A) - chosen(a, _B)) - (chosen(b, _A) - chosen(b, _B))).abs().mean((1, 2))


def head_pose(motion: MotionTensors, side: Side) -> Tensor:
    """Rotation, scale and place of the head against those of the rigidly aligned landmarks."""
    turn = (rotation_matrix(motion.rotation) - side.rotation).abs().mean((1, 2))
    size = (motion.scale[:, 0].log() - side.scale.log()).abs()
    place = (motion.translation - side.translation[:, :2]).abs().mean(1)
    return ((turn + 0.3 * size + place) * side.ok).mean()


def read_again(network: MotionNetwork, drawn: Tensor, true: Tensor, canonical: Tensor) -> tuple[Tensor, Tensor]:
    """The frozen motion network reads the drawn picture (B, 3, 256, 256) as it reads the true one.

    Errors of its features (a perceptual loss without a downloaded network: the layers that find lips and lids), and of
    the keypoints and openings that it reads.
    """
    with torch.no_grad():
        wanted = network.detailed(true, *network.overview(true))
    own = network.detailed(drawn, *network.overview(drawn))
    feature = torch.stack(
        [(a - b).float().abs().mean() for a, b in zip(own.features, wanted.features, strict=True)]
    ).mean()
    a, b = keypoints(canonical, own.motion), keypoints(canonical, wanted.motion)
    position = (a[..., :2] - b[..., :2]).abs().mean()
    return feature, position + 4 * openings(a, b).mean()
