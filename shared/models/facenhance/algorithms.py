"""The three algorithms of FacEnhance: a step of training, a frame, a video.

A previous frame that is too clean makes errors pile up, since training sees true ones and drawing its own: so it is
given noise in both, as much as step PREVIOUS_STEP of the schedule adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from shared.models.facenhance.diffusion import STEPS, noised, sample
from shared.models.facenhance.network import Conditions, FacEnhanceNetwork

PREVIOUS_STEP = 100
"""Of the schedule: noise with a third of the amplitude that pictures have."""
_FROM_THE_END = 0.25
"""Share of the rows that learn the last step, with which every frame begins; the rest are of all steps alike."""


def training_loss(
    network: FacEnhanceNetwork,
    clean: Tensor,
    conditions: Conditions,
    random: torch.Generator,
    previous_noise: bool = True,
) -> Tensor:
    """Algorithm 1: mean absolute error of the prediction at random steps. `conditions.previous` is without noise.

    `previous_noise` False is the ablation.
    """
    count = len(clean)
    step = torch.randint(STEPS, (count,), generator=random)
    step = torch.where(torch.rand(count, generator=random) < _FROM_THE_END, STEPS - 1, step).to(clean.device)
    noise = torch.randn(clean.shape, generator=random).to(clean.device)
    if previous_noise:
        conditions = with_noise(conditions, random)
    predicted = network(noised(clean, step, noise), step, conditions)
    wanted = clean if network.settings.prediction == "x0" else noise
    loss: Tensor = (predicted - wanted).abs().mean()
    return loss


def draw_frame(
    network: FacEnhanceNetwork, conditions: Conditions, random: torch.Generator, steps: int,
    previous_noise: bool = True, sampler: str = "auto",
) -> Tensor:  # fmt: skip
    """Algorithm 2: (B, 3, S, S) in -1..1 from pure noise. `conditions.previous` is without noise."""
    if previous_noise:
        conditions = with_noise(conditions, random)
    noise = torch.randn(conditions.identity.shape, generator=random).to(conditions.identity.device)
    return sample(
        lambda noisy, step: network(noisy, step, conditions), noise, steps, network.settings.prediction, sampler
    )


def draw_video(
    network: FacEnhanceNetwork, identity: Tensor, low: Iterable[Tensor], random: torch.Generator, steps: int,
    previous_noise: bool = True, sampler: str = "auto",
) -> Iterator[Tensor]:  # fmt: skip
    """Algorithm 3: a frame (B, 3, S, S) for each (B, 3, 64, 64), conditioned on the one before; the first one on the
    identity picture."""
    previous = identity
    for each in low:
        conditions = Conditions(identity, previous, each)
        previous = draw_frame(network, conditions, random, steps, previous_noise, sampler)
        yield previous


def with_noise(conditions: Conditions, random: torch.Generator) -> Conditions:
    """The same with noise on the previous frame."""
    previous = conditions.previous
    noise = torch.randn(previous.shape, generator=random).to(previous.device)
    step = torch.full((len(previous),), PREVIOUS_STEP, dtype=torch.long, device=previous.device)
    return conditions._replace(previous=noised(previous, step, noise))
