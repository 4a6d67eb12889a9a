"""The conditional U-Net of FacEnhance and its expression encoder.

Nine channels go in: the noisy frame, the identity picture, the previous frame with noise. The frame of the small video
enters by an embedding, in the attention at the fifth level. `guided` is ours: the small frame, enlarged, as three more
channels, and the network draws what is missing in it; a core learns that in an hour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOW_SIDE = 64
"""px of the small video."""
PREDICTIONS = ("x0", "epsilon")
"""What the network gives: the clean frame, or the noise in it. Either determines the frame one step less noisy."""
_TOKENS_SIDE = 4


@dataclass(frozen=True)
class NetworkSettings:
    """Size and conditions of a network. Raises ValueError for a size that cannot be halved at every level."""

    size: int = 192
    """px of the frames drawn"""
    width: int = 128
    """Channels of the first level"""
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 8)
    """Channels of each level, in widths; each level has half the side of the one before"""
    attention: int = 4
    """Level with attention, from 0"""
    prediction: str = "x0"
    guided: bool = False
    """Whether the enlarged small frame is a condition, too"""
    previous: bool = True
    """False: the ablation without the previous frame"""
    expression: bool = True
    """False: the ablation without the expression encoder"""

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"a network predicts {' or '.join(PREDICTIONS)}, not {self.prediction!r}")
        if not 0 <= self.attention < len(self.multipliers):
            raise ValueError(f"attention at level {self.attention}, but there are {len(self.multipliers)} levels")
        if self.width < 8 or self.width % 8:
            raise ValueError(f"the width is a multiple of 8, not {self.width}")
        step = 2 ** (len(self.multipliers) - 1)
        if self.size < step or self.size % step:
            raise ValueError(
                f"with {len(self.multipliers)} levels the side is a multiple of {step} px, not {self.size}"
            )

    @property
    def channels(self) -> int:
        """Of the input."""
        return 6 + 3 * self.previous + 3 * self.guided


PAPER = NetworkSettings()
"""As published."""


class Conditions(NamedTuple):
    """What a frame is drawn from. Pictures are in -1..1."""

    identity: Tensor
    """(B, 3, S, S)"""
    previous: Tensor
    """(B, 3, S, S) the frame drawn before, with noise"""
    low: Tensor
    """(B, 3, 64, 64) the frame of the small video"""


class FacEnhanceNetwork(nn.Module):
    """One step from a noisy frame."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.width * each for each in settings.multipliers]
        self.time = TimeEmbedding(settings.width)
        embedding = 4 * settings.width
        self.first = nn.Conv2d(settings.channels, widths[0], 3, 1, 1)
        before = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(Block(a, b, embedding) for a, b in zip(before, widths, strict=True))
        self.halve = nn.ModuleList(nn.Conv2d(each, each, 3, 2, 1) for each in widths[:-1])
        self.middle = Block(widths[-1], widths[-1], embedding)
        after = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(Block(a + b, b, embedding) for a, b in zip(after, widths, strict=True))
        tokens = widths[settings.attention]
        self.attention_down = Attention(widths[settings.attention], tokens)
        self.attention_up = Attention(widths[settings.attention], tokens)
        self.expression = ExpressionEncoder(settings.width, tokens) if settings.expression else None
        self.last = nn.Sequential(_norm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 3, 3, 1, 1))
        nn.init.zeros_(self.last[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.last[2].bias)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor, step: Tensor, conditions: Conditions) -> Tensor:
        """(B, 3, S, S) the prediction for frames (B, 3, S, S) as noisy as steps (B,) say."""
        settings = self.settings
        inputs = [noisy, conditions.identity]
        if settings.previous:
            inputs.append(conditions.previous)
        enlarged_low = enlarged(conditions.low, settings.size) if settings.guided else None
        if enlarged_low is not None:
            inputs.append(enlarged_low)
        embedding = self.time(step)
        tokens = None if self.expression is None else self.expression(conditions.low)
        x, skips = self.first(torch.cat(inputs, 1)), []
        for level, block in enumerate(self.down):
            x = block(x, embedding)
            if level == settings.attention:
                x = self.attention_down(x, tokens)
            skips.append(x)
            if level < len(self.halve):
                x = self.halve[level](x)
        x = self.middle(x, embedding)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([x, skips[level]], 1), embedding)
            if level == settings.attention:
                x = self.attention_up(x, tokens)
            if level:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        out: Tensor = self.last(x)
        return out + enlarged_low if enlarged_low is not None and settings.prediction == "x0" else out


class TimeEmbedding(nn.Module):
    """Sines and cosines of the step, and two layers on them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))

    def forward(self, step: Tensor) -> Tensor:
        """(B, 4 width) of steps (B,)."""
        half = self.width // 2
        rates = torch.exp(-math.log(10_000) * torch.arange(half, device=step.device) / half)
        angles = step.float()[:, None] * rates
        out: Tensor = self.layers(torch.cat([angles.sin(), angles.cos()], 1))
        return out


class Block(nn.Module):
    """Residual block; the step's embedding scales and shifts what is between its two convolutions."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.before = nn.Sequential(_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, 1, 1))
        self.embedding = nn.Linear(embedding, 2 * outputs)
        self.norm = _norm(outputs)
        self.after = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.short = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.after.weight)
        nn.init.zeros_(self.after.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, outputs, H, W)"""
        scale, shift = self.embedding(F.silu(embedding))[:, :, None, None].chunk(2, 1)
        h = self.norm(self.before(x)) * (1 + scale) + shift
        out: Tensor = self.short(x) + self.after(F.silu(h))
        return out


class Attention(nn.Module):
    """Every place looks at every other and at the tokens of the small frame."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.norm, self.heads = _norm(channels), max(1, channels // 64)
        self.query, self.own = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.other = nn.Linear(tokens, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        """(B, C, H, W); `tokens`: (B, N, D)"""
        batch, channels, height, width = x.shape
        places = self.norm(x).flatten(2).transpose(1, 2)
        key_value = self.own(places)
        if tokens is not None:
            key_value = torch.cat([key_value, self.other(tokens)], 1)
        key, value = key_value.chunk(2, -1)
        query, key, value = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.query(places), key, value)
        )
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        out: Tensor = x + self.out(seen).transpose(1, 2).reshape(batch, channels, height, width)
        return out


class ExpressionEncoder(nn.Module):
    """The small frame as sixteen tokens."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.SiLU()]
        channels = width
        for _ in range(int(math.log2(LOW_SIDE // _TOKENS_SIDE))):
            layers += [nn.Conv2d(channels, 2 * width, 3, 2, 1), _norm(2 * width), nn.SiLU()]
            channels = 2 * width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, tokens, 1))

    def forward(self, low: Tensor) -> Tensor:
        """(B, 16, tokens) of (B, 3, 64, 64)."""
        out: Tensor = self.layers(low)
        return out.flatten(2).transpose(1, 2)


def enlarged(low: Tensor, side: int) -> Tensor:
    """(B, 3, side, side), bicubic, in -1..1."""
    return F.interpolate(low, size=(side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


def parameters(network: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(each.numel() for each in network.parameters())


def _norm(channels: int) -> nn.GroupNorm:
    """Groups of four channels or more, at most 32 of them."""
    return nn.GroupNorm(math.gcd(32, max(1, channels // 4)), channels)
