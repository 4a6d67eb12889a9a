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
from shared.models.layers import (
    KEYPOINTS,
    MotionTensors,
    Residual,
    conv,
    flow_matrix,
    grid,
    heatmaps,
    keypoints,
    pixels_last,
    resize_flow,
    softened,
    warp,
)
from shared.models.motion_network import MotionNetwork

PAINTED = (10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 2, 3, 4, 5)
"""Keypoints whose driving position the generator sees as heatmaps (lips, lids, irises), or the mouth opens late."""
COMPRESSED = 6
_CONDITION = 2 * (3 * KEYPOINTS + 6)
_CHOOSINESS = 2.0
"""How much more sharply pictures than features choose between sources: the mean of two pictures is soft."""
_MOST_GAIN = 2.8
"""Of detail. Weights were trained with 2, by losses that reward softness where detail is a pixel off: a little more
gives a tenth of the true sharpness back for 0.1 dB."""
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


def added(layers: nn.Module, x: Tensor, more: Tensor | None) -> Tensor:
    """A convolution and its activation (see `layers.conv`), with something added in between."""
    convolution, activation = layers.children()
    y: Tensor = convolution(x)
    out: Tensor = activation(y if more is None else y + more.to(y.dtype))
    return out


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
