"""Base fusion: what the drawing networks are told of a small decoded video picture, and what a drawn one has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.models.layers import (
    MotionTensors,
    conv,
    grid,
    heatmaps,
    keypoints,
    pixels_last,
    resize_flow,
    softened,
    warp,
)
from shared.motion import Motion

FADE_SECONDS = 0.5
"""Age at which a base picture counts for nothing any more."""
_FULL_SECONDS = 0.2
"""Up to this age it counts in full: two frames of a layer of 12.5 Hz, and one that was late."""
_SIGMA = 2.5 / 256
"""Of the Gaussian, as a share of the picture's side: the best of those measured in docs/base_layer.md."""
Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""
STATE = 4
"""Numbers that describe a base picture: presence, age, size, quantiser."""
CONTENT = 24
_FLOW_SIDE = 64
_REACH, _STILL = 0.03, 0.1
"""Variance of the Gaussians by which keypoints carry their surroundings, and the weight of what stands still."""
_PASSES = 3
"""Of 1-2-1 means at half size: a Gaussian of 2.4 px of the picture, the best for a plain exchange."""
_TRUST = (1.5, -1.0)
"""Logits at the start of training for the exchange of coarse and of fine differences."""
_WHOLE, _WHOLE_BY_STATE = -2.3, (0.0, -0.5, 2.0, -4.0)
"""The same for what is left, the finest details: 4 % of a base of 256 px at crf 67, 30 % at 61, 87 % at 54, about what
made the plain mixture of both the truest on four dev clips."""
_FINEST = (61, 54)
"""crf from which on, and to which, the finest octave comes from the base, too. A coarser one has nothing there, and the
sources' own is worth a sixth of the sharpness for 0.2 dB (crf 65)."""
_AGREES, _EDGE = 0.15, 3 / 255
"""How much of the drawn picture's edges the base has to show, and from what contrast on: else their finest octave would
stay as an outline of what has moved on."""
N = TypeVar("N", float, Tensor)


@dataclass(frozen=True, eq=False)
class LaterPicture:
    """The decoded base picture after the frame that is drawn."""

    picture: Picture
    """(S, S, 3)"""
    motion: Motion
    """Of the frame it belongs to"""
    ahead: float
    """Seconds from the frame that is drawn to that one"""


@dataclass(frozen=True, eq=False)
class BasePicture:
    """A decoded picture of the base layer, for one frame that is drawn."""

    picture: Picture
    """(S, S, 3), S at most the side of what is drawn"""
    motion: Motion
    """Of the frame it belongs to, in the crop that is drawn"""
    age: float
    """Seconds from its frame to the one that is drawn"""
    crf: int
    """Quantiser it was coded with"""
    after: LaterPicture | None = None
    """Where it has come already; else the picture would jump with each base picture"""
    weight: float = 1.0
    """0..1: how much it counts beside its age: less where the picture is to show something else"""

    @property
    def presence(self) -> float:
        """0..1: how much it counts, by its age and weight."""
        return self.weight * float(np.clip((FADE_SECONDS - self.age) / (FADE_SECONDS - _FULL_SECONDS), 0.0, 1.0))

    @property
    def share_after(self) -> float:
        """0..1: how much the picture after counts, by how near it is."""
        return 0.0 if self.after is None else self.age / max(self.age + self.after.ahead, 1e-6)


def exchange(drawn: Picture, base: BasePicture) -> Picture:
    """The drawn picture (S, S, 3) with the low frequencies of the base picture, as far as its age allows."""
    side = drawn.shape[0]
    enlarged = cv2.resize(base.picture, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    if base.after is not None:
        later = cv2.resize(base.after.picture, (side, side), interpolation=cv2.INTER_CUBIC)
        enlarged += base.share_after * (later - enlarged)
    apart = cv2.GaussianBlur(enlarged - drawn, (0, 0), _SIGMA * side)
    return np.asarray(np.clip(np.rint(drawn + base.presence * apart), 0, 255), np.uint8)


class Base(NamedTuple):
    """A decoded base picture and what is known of it."""

    picture: Tensor
    """(B, 3, S, S) in 0..1, enlarged to the size of what is drawn natively"""
    motion: MotionTensors
    """Of the frame it belongs to; canonical keypoints do not count"""
    state: Tensor
    """(B, STATE), see `base_state`"""
    after: After | None = None


class After(NamedTuple):
    """The base picture after the frame that is drawn, where it is there already: between two nothing jumps."""

    picture: Tensor
    """(B, 3, S, S)"""
    motion: MotionTensors
    share: Tensor
    """(B, 1) of it in what the base shows now; 0 where there is none"""


class Told(NamedTuple):
    """What the networks get of a base; each is added before an activation, and 0 where there is none."""

    carried: Tensor
    """(B, 3, S, S) the base picture as it should look now"""
    dense: Tensor
    """(B, dense, S/8, S/8)"""
    join: Tensor
    """(B, features, S/4, S/4)"""
    half: Tensor
    """(B, half, S/2, S/2)"""
    film: Tensor
    """(B, 2 · deep)"""
    presence: Tensor
    """(B, 1, 1, 1) 0..1"""
    whole: Tensor
    """(B, 1, 1, 1) logits: how far to trust its details, by its state alone"""
    finest: Tensor
    """(B, 1, 1, 1) 0..1: share of the finest of them that is to be trusted alike"""


def base_state(presence: N, age: N, side: N, crf: N) -> tuple[N, N, N, N]:
    """The numbers of a base picture, or of many: presence 0..1, age in seconds, side in px before enlarging, crf."""
    return presence, 10 * age, side / 128 - 1, (crf - 60) / 10


class BaseFusion(nn.Module):
    """Base picture to what the drawing networks are told of it, and the exchange of differences at their end."""

    def __init__(self, features: int, dense: int, deep: int, half: int) -> None:
        super().__init__()
        self.quarter = conv(12, CONTENT)
        self.eighth = conv(CONTENT, CONTENT, 3, 2)
        self.to_dense = nn.Conv2d(CONTENT, dense, 1, bias=False)
        self.to_join = nn.Conv2d(CONTENT, features, 3, 1, 1, bias=False)
        self.to_half = nn.Conv2d(12, half, 3, 1, 1, bias=False)
        self.to_film = nn.Linear(STATE, 2 * deep, bias=False)
        self.trust = nn.Conv2d(half, 2, 3, 1, 1)
        self.whole = nn.Conv2d(half, 1, 3, 1, 1, bias=False)
        self.whole_by_state = nn.Linear(STATE, 1)
        for layer in (self.to_dense, self.to_join, self.to_half, self.to_film, self.trust, self.whole):
            nn.init.zeros_(layer.weight)
        assert self.trust.bias is not None
        with torch.no_grad():
            self.trust.bias.copy_(torch.tensor(_TRUST))
            self.whole_by_state.weight.copy_(torch.tensor([_WHOLE_BY_STATE]))
            self.whole_by_state.bias.fill_(_WHOLE)

    def forward(self, base: Base, canonical: Tensor, driving: MotionTensors) -> Told:
        presence = base.state[:, :1, None, None]
        now = keypoints(canonical, driving)
        carried = self._carried(base.picture, keypoints(canonical, base.motion), now)
        if base.after is not None:
            later = self._carried(base.after.picture, keypoints(canonical, base.after.motion), now)
            carried = carried + base.after.share[:, :, None, None] * (later - carried)
        centred = (carried * 2 - 1) * (presence > 0)
        quarter = self.quarter(pixels_last(F.pixel_unshuffle(F.avg_pool2d(centred, 2), 2)))
        return Told(
            carried,
            self.to_dense(self.eighth(quarter)) * presence,
            self.to_join(quarter) * presence,
            self.to_half(pixels_last(F.pixel_unshuffle(centred, 2))) * presence,
            self.to_film(base.state) * base.state[:, :1],
            presence,
            self.whole_by_state(base.state)[:, :, None, None],
            self._finest(base.state)[:, None, None, None],
        )

    def exchanged(self, drawn: Tensor, told: Told, features: Tensor) -> Tensor:
        """(B, 3, S, S) to be added to the drawn picture: what the base shows otherwise, by (B, half, S/2, S/2)."""
        apart = told.carried - drawn
        fine = F.avg_pool2d(apart, 2)
        coarse = _low(fine)
        trust = torch.sigmoid(self.trust(features).float()) * told.presence
        whole = torch.sigmoid(self.whole(features).float() + told.whole.float()) * told.presence
        unlike = _unlike(drawn, told.carried) * told.presence
        halved = torch.cat([trust[:, :1] * coarse + trust[:, 1:] * (fine - coarse), whole, unlike], 1)
        enlarged = enlarged_correction(halved, drawn.shape[-1])
        correction, whole, unlike = enlarged[:, :3], enlarged[:, 3:4], enlarged[:, 4:]
        rest = apart - correction
        middle = softened(rest)
        return correction + whole * middle + torch.maximum(whole * told.finest, unlike) * (rest - middle)

    @staticmethod
    def _finest(state: Tensor) -> Tensor:
        """(B,) share of the finest details that a base has: none of a small one, all of a large one finely coded."""
        low, high = (base_state(1.0, 0.0, 256.0, crf)[3] for crf in _FINEST)
        return (state[:, 2] * (low - state[:, 3]) / (low - high)).clamp(0, 1)

    @staticmethod
    def _carried(picture: Tensor, before: Tensor, now: Tensor) -> Tensor:
        """The picture moved as keypoints (B, K, 3) have moved: each takes its surroundings along (Nadaraya 1964)."""
        near = heatmaps(now, _FLOW_SIDE, _REACH)
        shift = torch.einsum("bkhw,bkc->bhwc", near, (before - now)[..., :2])
        flow = grid(_FLOW_SIDE, picture.device) + shift / (near.sum(1)[..., None] + _STILL)
        return warp(picture, resize_flow(flow, picture.shape[-1]))


def _low(picture: Tensor) -> Tensor:
    """(B, C, S/2, S/2) without what is finer than some 2.4 px of the whole picture."""
    for _ in range(_PASSES):
        picture = softened(picture)
    return picture


def _unlike(drawn: Tensor, base: Tensor) -> Tensor:
    """(B, 1, S/2, S/2) 0..1: where (B, 3, S, S) `drawn` has edges that `base` has nothing of.

    By the share of its own band-pass that the base's projects onto it, in a window: soft edges count as there.
    """
    own, other = (half - _low(half) for half in (F.avg_pool2d(p.mean(1, keepdim=True), 2) for p in (drawn, base)))
    share = (_low(own * other) + _EDGE**2) / (_low(own * own) + _EDGE**2)
    return 1 - (share / _AGREES).clamp(0, 1)


def enlarged_correction(correction: Tensor, size: int) -> Tensor:
    """(B, C, size, size) of an exchange at another size."""
    return F.interpolate(correction, size=(size, size), mode="bilinear", align_corners=False)
