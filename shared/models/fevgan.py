"""FEV-GAN's own network: one picture and a label to a video of 32 frames of 64x64, all pixels generated.

After Bouzid and Ballihi, "Facial Expression Video Generation Based-On Spatio-temporal Convolutional GAN: FEV-GAN"
(2022): an identity encoder, trained before on faces and then left as it is, and a spatial encoder that learns here;
both codes and the label are unfolded by fractionally strided 3D convolutions; a 3D discriminator sees video and label.
Their weights were not to be had and their table of layers was not at hand: widths, kernels and where the label enters
are those of the video networks before it (Vondrick et al. 2016): kernels of 4, strides of 2, widths halved as sides
double. Layers are in TensorFlow's order and geometry (convolution, normalisation with epsilon 1e-3, activation; `same`
padding), so that tensors of such a network fit after their axes are turned.

Videos are (B, 3, 32, 64, 64) in -1..1, pictures (B, 3, 64, 64).
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FRAMES, SIDE, LABEL_COUNT = 32, 64, 6
IDENTITY, SPATIAL = 256, 256
"""Numbers of each code."""
_EPSILON = 1e-3
_START = (2, 4, 4)
"""Frames, rows and columns that the decoder begins with: four doublings make 32x64x64."""


class PictureEncoder(nn.Module):
    """(B, 3, 64, 64) pictures to (B, size) codes: four halvings and a dense layer."""

    def __init__(self, size: int, width: int = 64) -> None:
        super().__init__()
        channels = [3, *(width << n for n in range(4))]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(itertools.pairwise(channels)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1))
            if number:
                layers.append(nn.BatchNorm2d(b, _EPSILON))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.out = nn.Linear(channels[-1] * (SIDE // 16) ** 2, size)

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.out(self.layers(picture))
        return out


class FevGenerator(nn.Module):
    """Picture and label to a video."""

    def __init__(self, width: int = 64, identity: nn.Module | None = None) -> None:
        """`identity`: (B, 3, 64, 64) to (B, IDENTITY), pre-trained on faces and frozen; without it one that learns."""
        super().__init__()
        self.identity = PictureEncoder(IDENTITY, width) if identity is None else identity.requires_grad_(False)
        self.spatial = PictureEncoder(SPATIAL, width)
        channels = [width << n for n in (3, 2, 1, 0)]
        t, h, w = _START
        self.first = nn.Linear(IDENTITY + SPATIAL, channels[0] * t * h * w)
        self.first_norm = nn.BatchNorm3d(channels[0], _EPSILON)
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise([channels[0] + LABEL_COUNT, *channels[1:]]):
            layers += [nn.ConvTranspose3d(a, b, 4, 2, 1), nn.BatchNorm3d(b, _EPSILON), nn.ReLU()]
        self.unfold = nn.Sequential(*layers, nn.ConvTranspose3d(channels[-1], 3, 4, 2, 1), nn.Tanh())

    def forward(self, picture: Tensor, label: Tensor) -> Tensor:
        """(B, 3, 32, 64, 64) of (B, 3, 64, 64) neutral pictures and (B,) labels."""
        code = torch.cat([self.identity(picture), self.spatial(picture)], 1)
        x = F.relu(self.first_norm(self.first(code).view(len(code), -1, *_START)))
        video: Tensor = self.unfold(torch.cat([x, _planes(label, _START)], 1))
        return video


class FevDiscriminator(nn.Module):
    """Videos and labels to (B,) logits; the label is six more planes of the first layer's input."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = [3 + LABEL_COUNT, *(width << n for n in range(4))]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(itertools.pairwise(channels)):
            layers.append(nn.Conv3d(a, b, 4, 2, 1))
            if number:
                layers.append(nn.BatchNorm3d(b, _EPSILON))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)
        self.score = nn.Conv3d(channels[-1], 1, _START)

    def forward(self, video: Tensor, label: Tensor) -> Tensor:
        planes = _planes(label, (FRAMES, SIDE, SIDE))
        out: Tensor = self.score(self.layers(torch.cat([video, planes], 1))).flatten()
        return out


def _planes(label: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(B, LABEL_COUNT, *shape) ones in the plane of each label, zeros elsewhere.

    Beside the codes, not in them: there a label is six numbers among hundreds and is learned many times more slowly.
    """
    return F.one_hot(label, LABEL_COUNT).float()[:, :, None, None, None].expand(-1, -1, *shape)
