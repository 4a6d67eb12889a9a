"""A patch discriminator trained along with the generator, for sharpness that pixel errors do not reward.

Patches as in pix2pix (Isola et al. 2017), hinge losses (Lim and Ye 2017), spectral normalisation (Miyato et al. 2018),
feature matching as in pix2pixHD (Wang et al. 2018).
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Pictures (B, 3, S, S) to scores (B, 1, S/8, S/8), one for each patch, and the features on the way."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        channels = [
            12,
            width,
            width * 2,
            width * 4,
        ]  # at half the side: four pixels side by side are as good and cheaper
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4 if n else 3, 2 if n else 1, 1))
            for n, (a, b) in enumerate(itertools.pairwise(channels))
        )
        self.score = spectral_norm(nn.Conv2d(channels[-1], 1, 3, 1, 1))

    def forward(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = F.pixel_unshuffle(picture * 2 - 1, 2), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


class Adversary:
    """The discriminator with its optimiser."""

    def __init__(self, device: torch.device, width: int = 48, rate: float = 2e-4) -> None:
        self.network = Discriminator(width).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=rate, betas=(0.0, 0.99), fused=True)

    def judge(self, drawn: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's losses: how unreal its pictures look, and how far their features are from the true ones'."""
        self.network.requires_grad_(False)  # no gradients for weights that this loss does not change
        score, features = self.network(drawn)
        with torch.no_grad():
            _, wanted = self.network(true)
        self.network.requires_grad_(True)
        matching = torch.stack([(a - b).abs().mean() for a, b in zip(features, wanted, strict=True)]).mean()
        return -score.mean(), matching

    def learn(self, drawn: Tensor, true: Tensor) -> Tensor:
        """One step of the discriminator; its loss: 2 is "cannot tell", 0 is "always right"."""
        score, _ = self.network(torch.cat([drawn.detach(), true]))
        fake, real = score.chunk(2)
        loss = F.relu(1 + fake).mean() + F.relu(1 - real).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state`."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
