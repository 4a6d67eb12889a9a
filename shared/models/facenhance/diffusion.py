"""Noise on frames, and the way back: a thousand steps in training, a few in drawing.

The schedule is the linear one of Ho et al. (2020). Steps back are `diffusers`' DDIM or DPM-Solver where the extra
`diffusion` is installed, else our DDIM, which gives what theirs gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEPS = 1000
BETAS = (1e-4, 0.02)
"""Variance that the first and the last step add."""
SAMPLERS = ("auto", "ddim", "dpm")
"""`auto` is DDIM, by `diffusers` if it is there; `dpm` is its DPM-Solver++ and needs it."""

_KEPT = torch.cumprod(1 - torch.linspace(*BETAS, STEPS, dtype=torch.float64), 0).float()

Predict = Callable[[Tensor, Tensor], Tensor]
"""The prediction for a noisy frame (B, 3, S, S) and its steps (B,)."""


class SamplerError(Exception):
    """A sampler cannot be had here; the text says what to install."""


def kept(device: torch.device | str = "cpu") -> Tensor:
    """(STEPS,) ᾱ: which share of the picture's variance is left after each step."""
    return _KEPT.to(device)


def noised(clean: Tensor, step: Tensor, noise: Tensor) -> Tensor:
    """√ᾱ clean + √(1-ᾱ) noise, for steps (B,)."""
    share = kept(clean.device)[step][:, None, None, None]
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def clean_of(prediction: str, predicted: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
    """The clean frame in -1..1 that a network's output means."""
    if prediction == "x0":
        return predicted.clamp(-1, 1)
    share = kept(noisy.device)[step][:, None, None, None]
    return ((noisy - (1 - share).sqrt() * predicted) / share.sqrt()).clamp(-1, 1)


def drawing_steps(count: int) -> list[int]:
    """`count` steps from the noisiest down, evenly spaced. Raises ValueError outside 1..STEPS."""
    if not 1 <= count <= STEPS:
        raise ValueError(f"a frame is drawn in 1 to {STEPS} steps, not {count}")
    return [STEPS - 1 - (at * STEPS) // count for at in range(count)]


def ddim(predict: Predict, noise: Tensor, count: int, prediction: str) -> Tensor:
    """The clean frame from pure noise in `count` steps, without further noise (Song et al. 2021, η = 0)."""
    shares, steps, x = kept(noise.device), drawing_steps(count), noise
    clean = x
    for at, step in enumerate(steps):
        now = torch.full((len(x),), step, dtype=torch.long, device=x.device)
        clean = clean_of(prediction, predict(x, now), x, now)
        if at + 1 < count:
            share, following = shares[step], shares[steps[at + 1]]
            inside = (x - share.sqrt() * clean) / (1 - share).sqrt()
            x = following.sqrt() * clean + (1 - following).sqrt() * inside
    return clean


def by_diffusers(scheduler: Any, predict: Predict, noise: Tensor, count: int) -> Tensor:
    """The clean frame by a scheduler of `diffusers`."""
    scheduler.set_timesteps(count)
    # the noise that is left agrees with the clipped frame, as in our DDIM; DPM-Solver has no such choice
    more = {"use_clipped_model_output": True} if type(scheduler).__name__ == "DDIMScheduler" else {}
    x = noise
    for step in scheduler.timesteps:
        now = torch.full((len(x),), int(step), dtype=torch.long, device=x.device)
        x = scheduler.step(predict(x, now), step, x, **more).prev_sample
    return x.clamp(-1, 1)


def sample(predict: Predict, noise: Tensor, count: int, prediction: str, sampler: str = "auto") -> Tensor:
    """The clean frame (B, 3, S, S) in -1..1. Raises SamplerError for `dpm` without `diffusers`."""
    if sampler not in SAMPLERS:
        raise ValueError(f"samplers are {', '.join(SAMPLERS)}, not {sampler!r}")
    scheduler = _scheduler(sampler, prediction)
    return ddim(predict, noise, count, prediction) if scheduler is None else by_diffusers(
        scheduler, predict, noise, count
    )  # fmt: skip


def _scheduler(sampler: str, prediction: str) -> Any:
    if sampler == "ddim":
        return None
    try:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
    except ImportError as error:
        if sampler == "dpm":
            raise SamplerError("DPM-Solver comes with diffusers: pip install 'pinhole[diffusion]'") from error
        return None
    kind = {"x0": "sample", "epsilon": "epsilon"}[prediction]
    same = {"num_train_timesteps": STEPS, "beta_start": BETAS[0], "beta_end": BETAS[1], "prediction_type": kind,
            "timestep_spacing": "trailing"}  # fmt: skip
    if sampler == "dpm":
        return DPMSolverMultistepScheduler(**same, lower_order_final=True)
    return DDIMScheduler(**same, clip_sample=True, set_alpha_to_one=True)
