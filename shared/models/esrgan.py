"""ESRGAN (Wang et al. 2018): sources enlarged by residual-in-residual dense blocks.

In overlapping windows, so that the size of a picture does not bound the memory needed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.models.engine import EngineError, Picture
from shared.models.esrgan_layouts import FILE, PUBLISHED, converted, dimensions
from shared.models.stored_weights import check_finite
from shared.resampling import resampled

WINDOW = 256
"""Side in px of what passes the published network at once, in about a gigabyte; larger pictures pass in windows."""
MARGIN = 32
"""px that windows see beyond what is taken from them. A pixel depends on 349 px around it in the published network, but
hardly on far ones: with 16 px the 23 blocks of the parity data and the embedded weights differ by 6e-6 from the whole
picture, with 24 px by rounding only."""
_RESIDUAL_SCALE = 0.2


class Window(NamedTuple):
    """One axis of a window: where it is read from, and which part of the whole is taken from it."""

    start: int
    keep_from: int
    keep_to: int


def windows(length: int, side: int, margin: int) -> list[Window]:
    """Windows of `side` px, evenly spread over `length` px; parts kept meet in the middle of each overlap.

    What is kept lies at least `margin` px from a window's edge, unless that is the picture's own. One window of
    `length` px where it is no longer than `side`. Raises ValueError where the margins fill the whole window.
    """
    if length <= side:
        return [Window(0, 0, length)]
    if side <= 2 * margin:
        raise ValueError(f"windows of {side} px keep nothing within margins of {margin} px on either side")
    count = -(-(length - 2 * margin) // (side - 2 * margin))
    starts = [i * (length - side) // (count - 1) for i in range(count)]
    seams = [0, *((a + side + b) // 2 for a, b in pairwise(starts)), length]
    return [Window(start, *span) for start, span in zip(starts, pairwise(seams), strict=True)]


def tiled(network: Callable[[Tensor], Tensor], picture: Tensor, scale: int, side: int, margin: int) -> Tensor:
    """(B, C', scale H, scale W) from (B, C, H, W): what the network makes of windows of at most `side` px.

    It is what the network makes of the whole where `margin` px cover its receptive field. A picture that fits one
    window passes whole.
    """
    rows, columns = (windows(length, side, margin) for length in picture.shape[2:])
    if len(rows) == len(columns) == 1:
        return network(picture)
    whole: Tensor | None = None
    for y in rows:
        for x in columns:
            part = network(picture[..., y.start : y.start + side, x.start : x.start + side])
            if whole is None:
                whole = part.new_empty(*part.shape[:2], *(scale * length for length in picture.shape[2:]))
            kept = part[..., _kept(y, scale), _kept(x, scale)]
            whole[..., scale * y.keep_from : scale * y.keep_to, scale * x.keep_from : scale * x.keep_to] = kept
    assert whole is not None
    return whole


def _kept(window: Window, scale: int) -> slice:
    return slice(scale * (window.keep_from - window.start), scale * (window.keep_to - window.start))


class DenseBlock(nn.Module):
    """Five convolutions, each seeing the input and all outputs before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels + growth, growth, 3, 1, 1)
        self.conv3 = nn.Conv2d(channels + 2 * growth, growth, 3, 1, 1)
        self.conv4 = nn.Conv2d(channels + 3 * growth, growth, 3, 1, 1)
        self.conv5 = nn.Conv2d(channels + 4 * growth, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, F.leaky_relu(layer(seen), 0.2)], 1)
        out: Tensor = x + _RESIDUAL_SCALE * self.conv5(seen)
        return out


class ResidualDenseBlocks(nn.Module):
    """Three dense blocks and a residual around them (RRDB)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(channels, growth)
        self.RDB2 = DenseBlock(channels, growth)
        self.RDB3 = DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + _RESIDUAL_SCALE * self.RDB3(self.RDB2(self.RDB1(x)))
        return out


class RRDBNet(nn.Module):
    """(B, 3, H, W) RGB in 0..1 to (B, 3, 4H, 4W); the sizes are the published ones if none are given."""

    def __init__(
        self, blocks: int = PUBLISHED.blocks, channels: int = PUBLISHED.channels, growth: int = PUBLISHED.growth
    ) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, channels, 3, 1, 1)
        self.RRDB_trunk = nn.Sequential(*(ResidualDenseBlocks(channels, growth) for _ in range(blocks)))
        self.trunk_conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.upconv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.upconv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.HRconv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv_last = nn.Conv2d(channels, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_first(x)
        features = first + self.trunk_conv(self.RRDB_trunk(first))
        for layer in (self.upconv1, self.upconv2):
            features = F.leaky_relu(layer(F.interpolate(features, scale_factor=2.0, mode="nearest")), 0.2)
        out: Tensor = self.conv_last(F.leaky_relu(self.HRconv(features), 0.2))
        return out


class Esrgan:
    """ESRGAN x4 as an upscaler of pictures, with as many blocks and channels as its weights have.

    On a GPU it computes in half precision, on a CPU, where that is slow or missing, in single.
    """

    def __init__(self, weights: Path, device: str = "cpu", half: bool | None = None) -> None:
        """Loads safetensors in any of the layouts of `esrgan_layouts`. Raises EngineError for other files.

        half: whether it computes in half precision; None: by the device.
        """
        self._device = torch.device(device)
        half = self._device.type == "cuda" if half is None else half
        self._dtype = torch.float16 if half else torch.float32
        tensors = _read(weights)
        size = dimensions(tensors)
        network = RRDBNet(*size)
        network.load_state_dict(tensors)
        network = network.eval().requires_grad_(False).to(self._device, self._dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        self._network, self._margin = network, min(reach(size.blocks), MARGIN)

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from a square picture: four times as large, then resampled to `size`.

        A picture that is large enough already does not pass the network.
        """
        if picture.shape[0] >= size:
            return resampled(picture, size)
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        with torch.inference_mode():
            large = self.enlarged(pixels.permute(2, 0, 1)[None].to(self._dtype).div_(255))
            levels = (large[0].float().permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
        return resampled(np.ascontiguousarray(levels), size)

    def enlarged(self, pictures: Tensor) -> Tensor:
        """(B, 3, 4H, 4W) from (B, 3, H, W) RGB in 0..1, on the network's device and of its precision, in windows."""
        return tiled(self._network, pictures, 4, WINDOW, self._margin)


def reach(blocks: int) -> int:
    """How far in px of the input a pixel of the output sees: 15 convolutions a block, two around them, two px after."""
    return 15 * blocks + 4


def _read(weights: Path) -> dict[str, Tensor]:
    """The generator of a file, in our names. Raises EngineError."""
    try:
        tensors = load_file(weights)
        check_finite(tensors, weights.name)
        return converted(tensors).files[FILE]
    except (SafetensorError, OSError) as error:
        raise EngineError(
            f"{weights.name} is not a readable safetensors file ({error}); fetch or copy it again, or convert a "
            f"checkpoint: python -m weights convert {weights.name}"
        ) from error
    except ValueError as error:
        raise EngineError(f"{weights.name} cannot be used as --upscaler esrgan: {error}") from error
