"""The base layer in the `compact` engine: what the drawing networks are told of a small decoded video picture.

    decoded base picture ──► carried along by the keypoints since its frame ──► features for dense motion and generator
                                      └──► exchange: low frequencies of (base − drawn), as far as they are trusted

Hybrid coding as in HDAC (Konuko et al. 2022): the base knows what key points cannot say (hands, light, a turned head),
the sources know detail. Without a base, or with one of presence 0, nothing here changes what is drawn.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
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


N = TypeVar("N", float, Tensor)


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


def base_state(presence: N, age: N, side: N, crf: N) -> tuple[N, N, N, N]:
    """The numbers of a base picture, or of many: presence 0..1, age in seconds, side in px before enlarging, crf."""
    return presence, 10 * age, side / 128 - 1, (crf - 60) / 10


class BaseFusion(nn.Module):
    """Base picture to what the drawing networks are told of it, and the exchange of low frequencies at their end."""

    def __init__(self, features: int, dense: int, deep: int, half: int) -> None:
        super().__init__()
        self.quarter = conv(12, CONTENT)
        self.eighth = conv(CONTENT, CONTENT, 3, 2)
        self.to_dense = nn.Conv2d(CONTENT, dense, 1, bias=False)
        self.to_join = nn.Conv2d(CONTENT, features, 3, 1, 1, bias=False)
        self.to_half = nn.Conv2d(12, half, 3, 1, 1, bias=False)
        self.to_film = nn.Linear(STATE, 2 * deep, bias=False)
        self.trust = nn.Conv2d(half, 2, 3, 1, 1)
        for layer in (self.to_dense, self.to_join, self.to_half, self.to_film, self.trust):
            nn.init.zeros_(layer.weight)
        assert self.trust.bias is not None
        with torch.no_grad():
            self.trust.bias.copy_(torch.tensor(_TRUST))

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
        )

    def exchanged(self, drawn: Tensor, told: Told, features: Tensor) -> Tensor:
        """(B, 3, S/2, S/2) to be added to the drawn picture: what the base shows otherwise, by (B, half, S/2, S/2)."""
        apart = F.avg_pool2d(told.carried - drawn, 2)
        coarse = apart
        for _ in range(_PASSES):
            coarse = softened(coarse)
        trust = torch.sigmoid(self.trust(features).float()) * told.presence
        return trust[:, :1] * coarse + trust[:, 1:] * (apart - coarse)

    @staticmethod
    def _carried(picture: Tensor, before: Tensor, now: Tensor) -> Tensor:
        """The picture moved as keypoints (B, K, 3) have moved: each takes its surroundings along (Nadaraya 1964)."""
        near = heatmaps(now, _FLOW_SIDE, _REACH)
        shift = torch.einsum("bkhw,bkc->bhwc", near, (before - now)[..., :2])
        flow = grid(_FLOW_SIDE, picture.device) + shift / (near.sum(1)[..., None] + _STILL)
        return warp(picture, resize_flow(flow, picture.shape[-1]))


def enlarged_correction(correction: Tensor, size: int) -> Tensor:
    """(B, 3, size, size) of an exchange at half the native size."""
    return F.interpolate(correction, size=(size, size), mode="bilinear", align_corners=False)
