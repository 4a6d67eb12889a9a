"""The networks of the `compact` engine: a small face-vid2vid that draws in real time on two CPU cores.

    driving picture ──► MotionNetwork ──► pose, expression ─────────────┐ keypoints of source and driving
    source picture ──► SourceEncoder ──► features (once a source) ──┐   ▼
                                     └─► compressed features ──► DenseMotion ──► flow, occlusion
                                                                    ▼             │
                              Generator: warp features, paint at half size, blend with the warped source picture

After face-vid2vid (Wang et al. 2021) with two departures that pay on a CPU: the dense motion is 2D, each candidate flow
turned by the picture-plane part of the head rotation; and the source picture itself is warped at full resolution and
blended with the painted one by a learned mask, so that what the source shows is copied sharp.
Inside the networks angles are radians; pictures are (B, 3, S, S) in 0..1, S = 256 (any multiple of 64 works).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEYPOINTS = 28
"""The first 23 follow face-mesh landmarks (see LANDMARKS), the rest are free for hair, neck and shoulders."""

LANDMARKS = (1, 152, 33, 468, 473, 263, 70, 105, 336, 334, 61, 291, 0, 13, 14, 17, 234, 454, 10, 159, 145, 386, 374)
"""Face-mesh index of each supervised keypoint: nose, chin, outer eye corners and irises, brows, lips, cheeks, forehead,
eyelids."""

PAINTED = (10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 2, 3, 4, 5)
"""Keypoints whose driving position the generator sees as heatmaps (lips, lids, irises), or the mouth opens late."""

MOTION_INPUT = 256
HIDDEN = 256
_OVERVIEW = 128
"""Side of the picture in which the whole head is read; lids and lips are read again at MOTION_INPUT."""
_EYES = ((33, 159, 145, 468), (263, 386, 374, 473))
"""Face-mesh indices of each eye's outer corner, lids and iris; the second eye is read mirrored."""
_LIPS = (61, 291, 0, 13, 14, 17)
_EYE_REACH, _LIPS_REACH = 0.85, 1.45
"""Half sides of the patches in units of the head's scale."""
FEATURES = 48
COMPRESSED = 6
_CONDITION = 2 * (3 * KEYPOINTS + 6)


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


class Patch(nn.Module):
    """A small square around an eye or the mouth to corrections of its keypoints, in half sides of the square."""

    def __init__(self, side: int, points: int) -> None:
        super().__init__()
        self.side, self.points = side, points
        self.layers = nn.Sequential(conv(3, 24, 3, 2), conv(24, 48, 3, 2), conv(48, 64, 3, 2))
        self.hidden = nn.Sequential(nn.Linear(64 * (side // 8) ** 2 + HIDDEN, 96), nn.SiLU())
        self.out = nn.Linear(96, points * 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def features(self, patch: Tensor) -> Tensor:
        """(B, 64, side/8, side/8) of (B, 3, side, side), whatever its light and contrast."""
        centred = patch - patch.mean((1, 2, 3), keepdim=True)
        contrast = centred.square().mean((1, 2, 3), keepdim=True).add(1e-4).sqrt()
        out: Tensor = self.layers(centred / contrast)
        return out

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """(B, points, 2)"""
        out: Tensor = self.out(self.hidden(torch.cat([features.flatten(1), context], 1)))
        return out.view(-1, self.points, 2)


class Reading(NamedTuple):
    """A motion, and what it was read from."""

    motion: MotionTensors
    features: list[Tensor]
    """Activations of the whole head and of eyes and mouth, for losses that compare pictures."""


class MotionNetwork(nn.Module):
    """Picture to canonical keypoints, head pose and expression. Input (B, 3, 256, 256) in 0..1.

    The whole head is read at half size; then eyes and mouth once more at full size, where the first reading says they
    are: a lid that closes moves by four pixels of the small picture.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        channels = [width, width * 2, width * 4, width * 6, width * 8]
        stages: list[nn.Module] = [self._stage(3, channels[0], 5)]
        for inputs, outputs in itertools.pairwise(channels):
            stages += [self._stage(inputs, outputs, 3), Residual(outputs)]
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * 16, HIDDEN), nn.SiLU())
        self.pose = nn.Linear(HIDDEN, 6)
        self.expression = nn.Linear(HIDDEN, KEYPOINTS * 3)
        self.canonical = nn.Linear(HIDDEN, KEYPOINTS * 3)
        for head in (self.pose, self.expression):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)
        self.eye = Patch(32, 3)
        self.lips = Patch(48, len(_LIPS))

    @staticmethod
    def _stage(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2), nn.GroupNorm(8, outputs), nn.SiLU())

    def forward(self, picture: Tensor) -> MotionTensors:
        return self.detailed(picture, *self.overview(picture)).motion

    def overview(self, picture: Tensor) -> tuple[MotionTensors, Tensor, list[Tensor]]:
        """The first reading, the (B, HIDDEN) output of the last layer but one, and features at 64, 32 and 16 px."""
        x, features = F.avg_pool2d(picture, MOTION_INPUT // _OVERVIEW) * 2 - 1, []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in (0, 2, 4):
                features.append(x)
        hidden: Tensor = self.hidden(x)
        pose = self.pose(hidden)
        motion = MotionTensors(
            canonical=self.canonical(hidden).view(-1, KEYPOINTS, 3),
            rotation=pose[:, :3],
            scale=pose[:, 3:4].exp(),
            translation=pose[:, 4:],
            expression=self.expression(hidden).view(-1, KEYPOINTS, 3),
        )
        return motion, hidden, features

    def detailed(self, picture: Tensor, motion: MotionTensors, hidden: Tensor, features: list[Tensor]) -> Reading:
        """The first reading with lids, irises and lips corrected."""
        motion = MotionTensors(*(t.float() for t in motion))
        points = keypoints(motion.canonical, motion).detach()
        roll, scale = motion.rotation[:, 2].detach(), motion.scale.detach()
        reads: tuple[tuple[Patch, tuple[int, ...], tuple[int, ...], float, int], ...] = (
            (self.eye, _EYES[0], _EYES[0][1:], _EYE_REACH, 1),
            (self.eye, _EYES[1], _EYES[1][1:], _EYE_REACH, -1),
            (self.lips, _LIPS, _LIPS, _LIPS_REACH, 1),
        )
        corrections = torch.zeros_like(motion.expression)
        for patch, around, corrected, reach, mirrored in reads:
            centre = points[:, [LANDMARKS.index(i) for i in around], :2].mean(1)
            cos, sin = roll.cos() * reach, roll.sin() * reach  # in units of the head's scale
            axes = torch.stack([torch.stack([cos * mirrored, -sin], -1), torch.stack([sin * mirrored, cos], -1)], 1)
            g = grid(patch.side, picture.device).reshape(1, -1, 2) @ (axes * scale[:, :, None]).transpose(1, 2)
            square = warp(picture, (g + centre[:, None]).view(-1, patch.side, patch.side, 2))
            seen = patch.features(pixels_last(square))
            features = [*features, seen]
            moved = patch(seen, hidden).float() @ axes.transpose(1, 2)
            index = torch.tensor([LANDMARKS.index(i) for i in corrected], device=moved.device)
            corrections = corrections.index_add(1, index, F.pad(moved, (0, 1)))
        return Reading(motion._replace(expression=motion.expression + corrections), features)


class SourceFeatures(NamedTuple):
    """What is kept of a source."""

    picture: Tensor
    """(B, 3, S, S)"""
    features: Tensor
    """(B, FEATURES, S/4, S/4)"""
    compressed: Tensor
    """(B, COMPRESSED, S/8, S/8) for the dense motion"""


class Drawn(NamedTuple):
    """What the generator draws."""

    picture: Tensor
    """(B, 3, S, S) painted + copied · (warped − painted)"""
    warped: Tensor
    """(B, 3, S, S) the source picture, moved"""
    painted: Tensor
    """(B, 3, S, S)"""
    copied: Tensor
    """(B, 1, S, S) share of the warped source, 0..1"""


class SourceEncoder(nn.Module):
    """Picture to features, once a source. No normalisation: sources arrive at any quality (AdaSR, Wang et al. 2024)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), conv(12, 32), conv(32, FEATURES, 3, 2), Residual(FEATURES), Residual(FEATURES)
        )
        self.compress = nn.Conv2d(FEATURES, COMPRESSED, 3, 2, 1)

    def forward(self, picture: Tensor) -> SourceFeatures:
        features = self.layers(picture * 2 - 1)
        return SourceFeatures(picture, features, self.compress(features))


class DenseMotion(nn.Module):
    """Keypoint motion to a flow (B, S/4, S/4, 2) of source coordinates and an occlusion map (B, 1, S/4, S/4)."""

    def __init__(self, width: int = 48) -> None:
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

    def forward(self, source: SourceFeatures, matrix: Tensor, ks: Tensor, kd: Tensor) -> tuple[Tensor, Tensor]:
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
        skips = [self.input(pixels_last(torch.cat([warped, moved], 1)))]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        x = skips.pop()
        for layer in self.up:
            x = torch.cat([F.interpolate(layer(x), size=skips[-1].shape[-2:], mode="nearest"), skips.pop()], 1)
        out = self.head(self.join(x))
        return self._combine(out, matrix, offsets)

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
        return flow, torch.sigmoid(out[:, KEYPOINTS + 1 : KEYPOINTS + 2] + 2)


class Generator(nn.Module):
    """Warped source features to the driving picture."""

    def __init__(self, deep: int = 80, half: int = 24) -> None:
        super().__init__()
        self.down = conv(FEATURES, deep, 3, 2)
        self.film = nn.Linear(_CONDITION, 2 * deep)
        self.body = nn.Sequential(Residual(deep), Residual(deep))
        self.up = nn.Sequential(nn.Conv2d(deep, FEATURES * 4, 1), nn.PixelShuffle(2), nn.SiLU())
        self.join = conv(FEATURES + len(PAINTED), FEATURES)
        self.to_half = nn.Sequential(nn.Conv2d(FEATURES, half * 4, 1), nn.PixelShuffle(2), nn.SiLU())
        self.paint = nn.Sequential(conv(half + 12, half), Residual(half))
        self.out = nn.Conv2d(half, 16, 3, 1, 1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, source: SourceFeatures, flow: Tensor, occlusion: Tensor, kd: Tensor, condition: Tensor) -> Drawn:
        features = pixels_last(warp(source.features, flow)) * occlusion
        x = self.down(features)
        gain, shift = self.film(condition)[:, :, None, None].chunk(2, 1)
        x = self.body(x * (1 + gain) + shift)
        heat = heatmaps(kd[:, PAINTED], features.shape[-1], 0.0025)
        x = self.to_half(self.join(torch.cat([self.up(x) + features, pixels_last(heat)], 1)))
        warped = warp(source.picture, resize_flow(flow, source.picture.shape[-1]))
        x = self.paint(torch.cat([x, pixels_last(F.pixel_unshuffle(warped, 2))], 1))
        out = F.pixel_shuffle(self.out(x), 2)
        copied = torch.sigmoid(out[:, 3:] + 1)
        painted = torch.sigmoid(out[:, :3] * 2)
        return Drawn(painted + copied * (warped - painted), warped, painted, copied)


class CompactNetwork(nn.Module):
    """The four networks together, as trained."""

    def __init__(self) -> None:
        super().__init__()
        self.motion = MotionNetwork()
        self.encoder = SourceEncoder()
        self.dense_motion = DenseMotion()
        self.generator = Generator()

    def draw(
        self, source: SourceFeatures, canonical: Tensor, source_motion: MotionTensors, driving: MotionTensors
    ) -> Drawn:
        """The driving picture from an encoded source."""
        ks, kd = keypoints(canonical, source_motion), keypoints(canonical, driving)
        flow, occlusion = self.dense_motion(source, flow_matrix(source_motion, driving), ks, kd)
        condition = torch.cat([driving.condition(), source_motion.condition()], 1)
        out: Drawn = self.generator(source, flow, occlusion, kd, condition)
        return out
