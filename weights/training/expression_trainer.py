"""The training of performed expressions: generator against discriminator, with reconstruction and identity losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.models.expression_network import (
    BEND,
    COMPONENTS,
    LABEL_COUNT,
    NOISE,
    POSE,
    TrajectoryDiscriminator,
    TrajectoryGenerator,
)
from shared.models.layers import KEYPOINTS, LANDMARKS
from weights.training.expression_data import Trajectories

BONES = (1, 33, 263, 234, 454, 10)
"""Landmarks that no expression moves far: nose, outer corners of the eyes, cheeks, forehead."""
_FINE = (13, 14, 0, 17, 61, 291, 159, 145, 386, 374)
"""Lips and lids, whose millimetres are seen: they count FINE times."""
FINE = 2.0
TRIES = 4
"""Performances of each example, of which the nearest must be near: noise then stands for what labels do not say."""
SHOWN = 0.3
"""Share of examples that clips show, of labels that they do: most of them talk meanwhile."""
ADVERSARIAL, IDENTITY, POSES = 0.05, 0.1, 0.3
_KEPT = 0.998
"""Of the weights that are exported, a running mean, at each step."""


class Losses(NamedTuple):
    """Of one step."""

    reconstruction: float
    adversarial: float
    identity: float
    discriminator: float


class ExpressionTrainer:
    """Both networks, their optimisers and the examples."""

    def __init__(self, shown: Trajectories, said: Trajectories, seed: int = 0, rate: float = 4e-4) -> None:
        """shown: by clips; said: by the facial action coding system. Of a label that no clip shows, all are said."""
        torch.manual_seed(seed)
        self.generator, self.discriminator = TrajectoryGenerator(), TrajectoryDiscriminator()
        both = shown.joined(said)
        self._labels = both.labels
        self._identities, self._changes = torch.from_numpy(both.identities), torch.from_numpy(both.changes)
        kinds = np.concatenate([np.zeros(len(shown.labels)), np.ones(len(said.labels))])
        self._places = [
            [each for kind in (0, 1) if len(each := np.flatnonzero((self._labels == label) & (kinds == kind)))]
            for label in range(LABEL_COUNT)
        ]
        if not all(self._places):
            raise ValueError("there must be an example of every label")
        _normalise(self.generator, self._identities, self._changes)
        self.averaged = {name: value.clone() for name, value in self.generator.state_dict().items()}
        self._optimisers = [
            torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.99))
            for network in (self.generator, self.discriminator)
        ]
        self._chance = np.random.default_rng(seed)
        self.steps = 0
        weight = torch.ones(KEYPOINTS, 3)
        weight[[LANDMARKS.index(each) for each in _FINE]] = FINE
        self._weight = torch.cat([torch.full((POSE,), POSES), weight.flatten()])[:, None]
        self._bones = torch.tensor([POSE + 3 * LANDMARKS.index(b) + axis for b in BONES for axis in range(2)])

    def step(self, batch: int = 30) -> Losses:
        """One step of each network. Labels are alike often."""
        places = [self._pick(n % LABEL_COUNT) for n in range(batch)]
        label = torch.from_numpy(self._labels[places])
        identity, true = self._identities[places], self._changes[places]
        with torch.no_grad():
            noise = self._nearest_noise(label, identity, true)
        drawn = self.generator(label, identity, noise)
        discriminating = F.relu(1 - self.discriminator(true, label, identity)).mean()
        discriminating = discriminating + F.relu(1 + self.discriminator(drawn.detach(), label, identity)).mean()
        self._learn(1, discriminating)
        reconstruction = self._distance(drawn, true).mean()
        bones = (drawn - true)[:, self._bones].abs().mean()
        fresh = self.generator(label, identity, torch.randn(batch, NOISE))
        adversarial = -self.discriminator(torch.cat([drawn, fresh]), label.repeat(2), identity.repeat(2, 1)).mean()
        self._learn(0, reconstruction + ADVERSARIAL * adversarial + IDENTITY * bones / BEND)
        self.steps += 1
        for name, value in self.generator.state_dict().items():
            self.averaged[name].lerp_(value, 1 - _KEPT)
        return Losses(*(float(each.detach()) for each in (reconstruction, adversarial, bones, discriminating)))

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "generator": self.generator.state_dict(), "discriminator": self.discriminator.state_dict(),
            "averaged": self.averaged, "optimisers": [each.state_dict() for each in self._optimisers],
            "steps": self.steps, "torch": torch.get_rng_state(), "numpy": self._chance.bit_generator.state,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`, to the same numbers as without a break."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.averaged = dict(state["averaged"])
        for optimiser, each in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(each)
        self.steps = int(state["steps"])
        torch.set_rng_state(state["torch"])
        self._chance.bit_generator.state = state["numpy"]

    def _pick(self, label: int) -> int:
        kinds = self._places[label]
        kind = kinds[int(self._chance.uniform() >= SHOWN) if len(kinds) > 1 else 0]
        return int(kind[self._chance.integers(len(kind))])

    def _nearest_noise(self, label: Tensor, identity: Tensor, true: Tensor) -> Tensor:
        """(B, NOISE) of TRIES each the one whose performance is nearest (Li and Malik 2018)."""
        noise = torch.randn(TRIES, len(label), NOISE)
        drawn = self.generator(label.repeat(TRIES), identity.repeat(TRIES, 1), noise.flatten(0, 1))
        distance = self._distance(drawn, true.repeat(TRIES, 1, 1)).view(TRIES, -1)
        return noise[distance.argmin(0), torch.arange(len(label))]

    def _distance(self, drawn: Tensor, true: Tensor) -> Tensor:
        return ((drawn - true).abs() * self._weight).mean((1, 2))

    def _learn(self, which: int, loss: Tensor) -> None:
        self._optimisers[which].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimisers[which].step()


def _normalise(generator: TrajectoryGenerator, identities: Tensor, changes: Tensor) -> None:
    """Fills the buffers: what an identity usually is, and what deformations are mixed from."""
    generator.identity_mean.copy_(identities.mean(0))
    generator.identity_size.copy_(identities.std(0).mean())
    late = changes[:, POSE:, 8::6].transpose(1, 2).flatten(0, 1).double()
    _, size, axes = torch.linalg.svd(late, full_matrices=False)
    generator.components.copy_(axes[:COMPONENTS] * size[:COMPONENTS, None] / len(late) ** 0.5)
