"""The networks of performed expressions: a generator of motion trajectories and the discriminator it learns against.

After Bouzid and Ballihi ("Facial Expression Video Generation Based-On Spatio-temporal Convolutional GAN: FEV-GAN"),
but over motion where they generate pixels: label, identity and noise become a short code that fractionally strided
convolutions unfold in time. The engine draws the trajectory, so it is the same person by construction.

A trajectory is (B, POSE + 3K, STEPS): what changes since its beginning, zero in its first step. Turns count in TURN
degrees, log scale and shifts (in heads) in SHIFT, deformations in BEND; these are the head's own, turned back to the
front.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from shared.models.layers import KEYPOINTS

LABEL_COUNT = 6
POSE = 6
"""Yaw, pitch, roll, log scale, and shift across and down."""
STEPS = 32
"""Steps of a trajectory from its beginning to the apex, as the frames of the paper's videos."""
NOISE = 8
TURN, SHIFT, BEND = 10.0, 0.1, 0.1
COMPONENTS = 24
"""Of deformations, which the generator mixes: 28 keypoints do not move one by one."""
_IDENTITY, _LABEL = 32, 24
_WIDTHS = (96, 80, 64, 48)


class TrajectoryGenerator(nn.Module):
    """Label, identity and noise to a trajectory."""

    identity_mean: Tensor
    identity_size: Tensor
    components: Tensor
    """(COMPONENTS, 3K) orthogonal deformations, each as far as it usually goes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("identity_mean", torch.zeros(6 * KEYPOINTS))
        self.register_buffer("identity_size", torch.ones(()))
        self.register_buffer("components", torch.zeros(COMPONENTS, 3 * KEYPOINTS))
        self.identity = nn.Sequential(
            nn.Linear(6 * KEYPOINTS, 64), nn.LeakyReLU(0.2), nn.Linear(64, _IDENTITY), nn.LeakyReLU(0.2)
        )
        self.label = nn.Embedding(LABEL_COUNT, _LABEL)
        code = _IDENTITY + _LABEL + NOISE
        self.first = nn.Linear(code, _WIDTHS[0] * 4)
        self.unfold = nn.ModuleList(nn.ConvTranspose1d(a, b, 4, 2, 1) for a, b in itertools.pairwise(_WIDTHS))
        self.gains = nn.ModuleList(nn.Linear(code, 2 * width) for width in _WIDTHS[1:])
        self.out = nn.Conv1d(_WIDTHS[-1], POSE + COMPONENTS, 5, 1, 2)

    def forward(self, label: Tensor, identity: Tensor, noise: Tensor) -> Tensor:
        """(B, POSE + 3K, STEPS) of (B,) labels, (B, 6K) canonical keypoints and own deformation, (B, NOISE)."""
        known = self.identity((identity - self.identity_mean) / self.identity_size)
        code = torch.cat([known, self.label(label), noise], 1)
        x = F.leaky_relu(self.first(code), 0.2).view(len(code), _WIDTHS[0], 4)
        for layer, gain in zip(self.unfold, self.gains, strict=True):
            more, shift = gain(code)[..., None].chunk(2, 1)
            x = F.leaky_relu(layer(x) * (1 + more) + shift, 0.2)
        x = self.out(x)
        x = x - x[..., :1]
        deformation = torch.einsum("bct,cd->bdt", x[:, POSE:], self.components)
        return torch.cat([x[:, :POSE], deformation], 1)


class TrajectoryDiscriminator(nn.Module):
    """Trajectories to one score each: whether such a person shows such an expression like this."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        inputs = 2 * (POSE + 3 * KEYPOINTS)  # where everything is, and how it moves
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv1d(inputs, width, 5, 1, 2)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv1d(width, width, 4, 2, 1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv1d(width, 2 * width, 4, 2, 1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv1d(2 * width, 2 * width, 4, 2, 1)), nn.LeakyReLU(0.2), nn.Flatten(),
        )  # fmt: skip
        features = 2 * width * STEPS // 8
        self.score = spectral_norm(nn.Linear(features, 1))
        self.label = spectral_norm(nn.Embedding(LABEL_COUNT, features))
        self.identity = spectral_norm(nn.Linear(6 * KEYPOINTS, features))

    def forward(self, trajectory: Tensor, label: Tensor, identity: Tensor) -> Tensor:
        """(B,) scores; label and identity enter as a projection (Miyato and Koyama 2018)."""
        speed = F.pad(trajectory.diff(dim=2), (1, 0)) * 8
        features = self.layers(torch.cat([trajectory, speed], 1))
        matched = (features * (self.label(label) + self.identity(identity))).mean(1)
        out: Tensor = self.score(features)[:, 0] + matched
        return out
