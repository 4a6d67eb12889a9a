"""The networks of the `compact` engine: a small face-vid2vid that draws in real time on two CPU cores.

    driving picture ──► MotionNetwork ──► pose, expression ─────────────┐ keypoints of source and driving
    source picture ──► SourceEncoder ──► features (once a source) ──┐   ▼
                                     └─► compressed features ──► DenseMotion ──► flow, occlusion, visibility
                                                                    ▼             │
              warp features and picture of each source, fuse them, paint at half size, blend with the warped picture

After face-vid2vid (Wang et al. 2021) with three departures. The dense motion is 2D, each candidate flow turned by the
picture-plane part of the head rotation. The source picture itself is warped at full resolution and blended with the
painted one by a learned mask, so that what the source shows is copied sharp. And several sources may be given: each is
warped on its own, and at every place those count most that show it best, as far as their weights allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.base_fusion import Base, BaseFusion, Told, enlarged_correction
from shared.models.dense_motion import (
    _CONDITION,
    _NEARNESS,
    GENERATORS,
    PAINTED,
    DenseMotion,
    Source,
    SourceEncoder,
    Widths,
    added,
)
from shared.models.layers import (
    KEYPOINTS,
    MotionTensors,
    Residual,
    conv,
    flow_matrix,
    heatmaps,
    keypoints,
    pixels_last,
    resize_flow,
    softened,
    warp,
)
from shared.models.motion_network import MotionNetwork

_CHOOSINESS = 2.0
"""How much more sharply pictures than features choose between sources: the mean of two pictures is soft."""
_MOST_GAIN = 2.8
"""Of detail. Weights were trained with 2, by losses that reward softness where detail is a pixel off: a little more
gives a tenth of the true sharpness back for 0.1 dB."""


class Drawn(NamedTuple):
    """What the generator draws."""

    picture: Tensor
    """(B, 3, S, S) painted + copied · (warped, sharpened − painted)"""
    warped: Tensor
    """(B, 3, S, S) the source pictures, moved and fused"""
    painted: Tensor
    """(B, 3, S, S)"""
    copied: Tensor
    """(B, 1, S, S) share of the warped source, 0..1"""
    gain: Tensor
    """(B, 1, S, S) of the warped source's detail, 0..2.8: coding and warping have softened it"""
    correction: Tensor | None = None
    """(B, 3, S/2, S/2) what was added to have the colours, light and large shapes of a base layer"""


class Fused(NamedTuple):
    """Sources moved to where the driving frame has them, as one."""

    features: Tensor
    """(B, features, S/4, S/4)"""
    warped: Tensor
    """(B, 3, S, S)"""
    kd: Tensor
    """(B, K, 3) driving keypoints"""
    condition: Tensor
    """(B, 3K + 6) of the sources' own motions"""
    fine: Tensor | None
    """(B, 3, n·S, n·S) the same as `warped`, in more detail"""
    flows: list[Tensor]
    """(B, S/4, S/4, 2) of each source"""


class Generator(nn.Module):
    """Fused source features to the driving picture."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        features, deep, half = widths.features, widths.deep, widths.half
        self.down = conv(features, deep, 3, 2)
        self.film = nn.Linear(_CONDITION, 2 * deep)
        self.body = nn.Sequential(*(Residual(deep) for _ in range(widths.residuals)))
        self.up = nn.Sequential(nn.Conv2d(deep, features * 4, 1), nn.PixelShuffle(2), nn.SiLU())
        self.join = conv(features + len(PAINTED), features)
        self.to_half = nn.Sequential(nn.Conv2d(features, half * 4, 1), nn.PixelShuffle(2), nn.SiLU())
        self.paint = nn.Sequential(conv(half + 12, half), Residual(half))
        self.out = nn.Conv2d(half, 16, 3, 1, 1)
        self.gain = nn.Conv2d(half, 4, 3, 1, 1)
        for layer in (self.film, self.out, self.gain):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, fused: Fused, driving: MotionTensors, told: Told | None = None) -> tuple[Drawn, Tensor]:
        """What is drawn, and the (B, half, S/2, S/2) features that it was drawn from."""
        features = pixels_last(fused.features)
        x = self.down(features)
        condition = torch.cat([driving.condition(), fused.condition], 1)
        film = self.film(condition) if told is None else self.film(condition) + told.film
        gain, shift = film[:, :, None, None].chunk(2, 1)
        x = self.body(x * (1 + gain) + shift)
        # not kd[:, PAINTED]: the list would go to a GPU with every frame, which no CUDA graph can hold
        heat = heatmaps(torch.stack([fused.kd[:, k] for k in PAINTED], 1), features.shape[-1], 0.0025)
        joined = torch.cat([self.up(x) + features, pixels_last(heat)], 1)
        x = self.to_half(added(self.join, joined, None if told is None else told.join))
        x = torch.cat([x, pixels_last(F.pixel_unshuffle(fused.warped.to(x.dtype), 2))], 1)
        x = self.paint[1](added(self.paint[0], x, None if told is None else told.half))
        out = F.pixel_shuffle(self.out(x).float(), 2)  # colours have more levels than bfloat16
        copied = torch.sigmoid(out[:, 3:] + 1)
        # Both smooth from pixel to pixel, or they learn grids, which count as sharp.
        painted = softened(torch.sigmoid(out[:, :3] * 2))
        gain = softened(_MOST_GAIN * torch.sigmoid(F.pixel_shuffle(self.gain(x).float(), 2)))
        return Drawn(blend(painted, copied, fused.warped, gain), fused.warped, painted, copied, gain), x


class CompactNetwork(nn.Module):
    """The four networks together, as trained."""

    def __init__(self, widths: Widths = GENERATORS["compact"]) -> None:
        super().__init__()
        self.motion = MotionNetwork()
        self.encoder = SourceEncoder(widths.features)
        self.dense_motion = DenseMotion(widths.dense)
        self.generator = Generator(widths)
        self.base = BaseFusion(widths.features, widths.dense, widths.deep, widths.half)
        self.nearness = nn.Parameter(torch.full((KEYPOINTS,), _NEARNESS / KEYPOINTS))
        """How much a source loses by each keypoint's distance from where it should be."""

    def draw(
        self, sources: Sequence[Source], weights: Tensor, driving: MotionTensors, base: Base | None = None
    ) -> Drawn:
        """The driving picture from encoded sources, as large as `fine` of the sources if they have it.

        weights: (B, N), at least one of each row positive, only their ratios matter: where two sources show a place
        equally well, they share it so. A source of weight 0 has no influence. With a `base`, colours, light and large
        shapes are taken from it.
        """
        told = None if base is None else self.base(base, sources[0].canonical, driving)
        return self.drawn(self.fuse(sources, weights, driving, told), driving, told)

    def drawn(self, fused: Fused, driving: MotionTensors, told: Told | None) -> Drawn:
        """The driving picture from fused sources."""
        drawn, features = self.generator(fused, driving, told)
        out: Drawn = drawn
        if told is not None:
            correction = self.base.exchanged(drawn.picture, told, features)
            out = drawn._replace(picture=(drawn.picture + correction).clamp(0, 1), correction=correction)
        return out if fused.fine is None else enlarged(out, fused.fine)

    def fuse(
        self, sources: Sequence[Source], weights: Tensor, driving: MotionTensors, told: Told | None = None
    ) -> Fused:
        """Each source moved on its own; at every place those count most that show it best."""
        ks = [keypoints(s.canonical, s.motion) for s in sources]
        kd = [keypoints(s.canonical, driving) for s in sources]
        moved = [
            self.dense_motion(s.features, flow_matrix(s.motion, driving), *points, None if told is None else told.dense)
            for s, *points in zip(sources, ks, kd, strict=True)
        ]
        features = [warp(s.features.features, m.flow) * m.occlusion for s, m in zip(sources, moved, strict=True)]
        flows = [m.flow for m in moved]
        conditions = [s.motion.condition() for s in sources]
        pictures = _moved([s.features.picture for s in sources], flows)
        fine = _moved([s.fine for s in sources if s.fine is not None], flows)
        if len(sources) == 1:
            return Fused(features[0], pictures[0], kd[0], conditions[0], fine[0] if fine else None, flows)
        nearness = -self._distances(ks, kd)
        seen = torch.stack([m.visibility for m in moved], 1) + nearness[:, :, None, None, None]
        shares, sharply = shared_out(seen, weights), shared_out(_CHOOSINESS * seen, weights)
        overall = shared_out(nearness, weights)[:, :, None]
        return Fused(
            _sum(features, shares),
            _sum_large(pictures, sharply),
            _sum(kd, overall[..., None]),
            _sum(conditions, overall),
            _sum_large(fine, sharply) if len(fine) == len(sources) else None,
            flows,
        )

    def _distances(self, ks: Sequence[Tensor], kd: Sequence[Tensor]) -> Tensor:
        """(B, N) how far each source's keypoints are from where they should be, in nats."""
        apart = torch.stack([(a - b)[..., :2].norm(dim=-1) for a, b in zip(ks, kd, strict=True)], 1)
        return (apart * self.nearness.clamp_min(0)).sum(-1)


def enlarged(drawn: Drawn, fine: Tensor) -> Drawn:
    """The drawn picture at the size of `fine`, the warped sources in more detail: copied where they are copied."""
    size = fine.shape[-1]
    planes = torch.cat([drawn.painted, drawn.copied, drawn.gain], 1)
    planes = F.interpolate(planes, size=(size, size), mode="bicubic", align_corners=True)
    painted, copied, gain = planes[:, :3], planes[:, 3:4].clamp(0, 1), planes[:, 4:]
    picture = blend(painted, copied, fine, gain)
    if drawn.correction is not None:
        picture = (picture + enlarged_correction(drawn.correction, size)).clamp(0, 1)
    return Drawn(picture, fine, painted, copied, gain, drawn.correction)


def blend(painted: Tensor, copied: Tensor, warped: Tensor, gain: Tensor) -> Tensor:
    """(B, 3, S, S) painted where not copied, copied with more detail (unsharp masking) where it is."""
    sharpened = (warped + gain * (warped - softened(warped))).clamp(0, 1)
    return painted + copied * (sharpened - painted)


def shared_out(logits: Tensor, weights: Tensor) -> Tensor:
    """(B, N, ...) shares of sources by (B, N, ...) logits and (B, N) weights; they sum to 1 over N.

    A source of weight w takes part in the share w of every decision: the shares are the mean, over all thresholds, of
    the softmax among those whose weight exceeds it. So they change as evenly as the weights do, however much better
    than the others a new source may be.
    """
    row = weights.view(*weights.shape, *[1] * (logits.dim() - 2))
    row = row / row.amax(1, keepdim=True)
    out, below = torch.zeros_like(logits), torch.zeros_like(row[:, :1])
    for threshold in torch.split(row.sort(dim=1).values, 1, dim=1):
        among = logits.masked_fill(row < threshold, -torch.inf).softmax(1)
        out, below = out + (threshold - below) * among, threshold
    return out


def _sum(parts: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Σ shares_i · part_i over (B, N, ...) shares."""
    return (torch.stack(list(parts), 1) * shares).sum(1)


def _moved(pictures: Sequence[Tensor], flows: Sequence[Tensor]) -> list[Tensor]:
    """Each (B, 3, S, S) picture moved by its flow; flows without a picture are left over."""
    return [warp(p, resize_flow(flow, p.shape[-1])) for p, flow in zip(pictures, flows, strict=False)]


def _sum_large(pictures: Sequence[Tensor], shares: Tensor) -> Tensor:
    """(B, 3, S, S) pictures summed by (B, N, 1, h, w) shares."""
    fine = F.interpolate(shares[:, :, 0], size=pictures[0].shape[-2:], mode="bilinear", align_corners=True)
    return _sum(pictures, fine[:, :, None])
