"""The layers that the published networks are made of, with the attribute names of the published checkpoints.

Every batch norm runs on its stored statistics. `fold` puts what is constant then into the weights.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Foldable(nn.Module):
    """A layer with convolutions that batch norms follow directly."""

    followed: ClassVar[tuple[tuple[str, str], ...]] = (("conv", "norm"),)
    """Attributes of each convolution and of the norm after it."""


class SameBlock2d(Foldable):
    """Convolution, norm, rectifier."""

    def __init__(self, inputs: int, outputs: int, slope: float = 0.0) -> None:
        """`slope`: of the rectifier below zero."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm = nn.BatchNorm2d(outputs)
        self._slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), self._slope, inplace=True)


class DownBlock2d(SameBlock2d):
    """The same, then half as large."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(x), 2)


class DownBlock3d(Foldable):
    """(B, C, D, H, W) to (B, C', D, H/2, W/2): depth stays."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, 1, 1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool3d(F.relu_(self.norm(self.conv(x))), (1, 2, 2))


class UpBlock3d(Foldable):
    """(B, C, D, H, W) to (B, C', D, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, 1, 1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.norm(self.conv(F.interpolate(x, scale_factor=(1, 2, 2)))))


class ResBlock3d(Foldable):
    """x + conv(relu(norm(conv(relu(norm(x))))))."""

    followed = (("conv1", "norm2"),)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv3d(channels, channels, 3, 1, 1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm2(self.conv1(F.relu(self.norm1(x))))
        out = self.conv2(F.relu_(out))
        return out + x


class Bottleneck(Foldable):
    """Residual block of the pose estimator; with a stride of 2 the way around is convolved, too."""

    followed = (("conv1", "norm1"), ("conv2", "norm2"), ("conv3", "norm3"), ("skip", "norm4"))

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1)
        self.conv3 = nn.Conv2d(inner, channels, 1)
        self.norm1, self.norm2 = nn.BatchNorm2d(inner), nn.BatchNorm2d(inner)
        self.norm3 = nn.BatchNorm2d(channels)
        self._strided = stride > 1
        if self._strided:
            self.skip = nn.Conv2d(channels, channels, 1, stride)
            self.norm4 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu_(self.norm1(self.conv1(x)))
        out = F.relu_(self.norm2(self.conv2(out)))
        out = self.norm3(self.conv3(out))
        return F.relu_(out + (self.norm4(self.skip(x)) if self._strided else x))


class SpectralConv2d(nn.Module):
    """Convolution whose weight is divided by its largest singular value, u · W v of the stored u and v."""

    weight: Tensor | None
    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight_orig)
        self.register_buffer("weight_u", torch.ones(outputs))
        self.register_buffer("weight_v", torch.ones(inputs * kernel * kernel))
        self.weight = None
        self._padding = kernel // 2

    def normalised(self) -> Tensor:
        """The weight as it is used."""
        sigma = torch.dot(self.weight_u, self.weight_orig.flatten(1) @ self.weight_v)
        return self.weight_orig / sigma

    def fold(self) -> None:
        """Keeps only the weight as it is used."""
        weight = self.normalised().detach()
        for name in ("weight_orig", "weight_u", "weight_v", "weight"):
            delattr(self, name)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.normalised() if self.weight is None else self.weight
        return F.conv2d(x, weight, self.bias, padding=self._padding)


def volume_grid(shape: Sequence[int], like: Tensor) -> Tensor:
    """(D, H, W, 3) coordinates x, y, z of each place of a (D, H, W) shape, -1..1; as `like` in type and device."""
    axes = [torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], -1)


def fold(network: nn.Module) -> None:
    """Folds batch norms into the convolutions before them and spectral norms into their weights; for inference only."""
    for module in list(network.modules()):
        if isinstance(module, SpectralConv2d):
            module.fold()
        if not isinstance(module, Foldable):
            continue
        for conv, norm in module.followed:
            if isinstance(getattr(module, norm, None), _BatchNorm):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())


def absent_norms(network: nn.Module, names: Collection[str]) -> list[str]:
    """Batch norms of which no parameter is among `names`."""
    there = {name.rpartition(".")[0] for name in names}
    return [path for path, module in network.named_modules() if isinstance(module, _BatchNorm) and path not in there]


def without(network: nn.Module, norms: Collection[str]) -> None:
    """Makes these norms the identity."""
    for path in norms:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity())
