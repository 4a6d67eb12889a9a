"""The ablation of FacEnhance: the same small network, short trainings, one condition changed in each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.facenhance_figures import Eye, Video, figures
from shared.models.facenhance.algorithms import draw_video
from shared.models.facenhance.enhancer import read_network
from shared.models.facenhance.network import FacEnhanceNetwork, NetworkSettings, enlarged
from weights.training.facenhance import Trainer, Training, train
from weights.training.facenhance_data import Videos, make_videos
from weights.training.stopping import Stop, sole_trainer


@dataclass(frozen=True)
class Variant:
    """What is changed of the paper's network and training."""

    title: str
    network: dict[str, Any]
    training: dict[str, Any]


VARIANTS = {
    "paper": Variant("as published", {}, {}),
    "no_noise": Variant("no noise on the previous frame", {}, {"previous_noise": False}),
    "no_previous": Variant("no previous frame", {"previous": False}, {}),
    "no_expression": Variant("no expression encoder", {"expression": False}, {}),
    "guided": Variant("guided (ours)", {"guided": True}, {"soft_previous": True}),
}


@dataclass(frozen=True)
class Plan:
    """What all variants share."""

    clips: Sequence[Path]
    without: Sequence[str]
    dev: Path
    out: Path
    size: int
    width: int
    minutes: float
    frames: int
    """Of each dev clip, from its middle"""
    steps: int
    seed: int = 0
    limit: int | None = None


def ablation(plan: Plan, stop: Stop) -> Iterator[tuple[str, dict[str, float]]]:
    """Title and figures of each variant, and of bicubic enlargement first; a training that was ended goes on.

    Raises ValueError for clips that cannot be used, and if asked to stop.
    """
    videos = make_videos(plan.clips, plan.without, plan.out / "data", plan.size, plan.limit, plan.seed)
    dev = make_videos([plan.dev], [], plan.out / "dev", plan.size, plan.limit, plan.seed)
    excerpts = [dev.excerpt(clip, plan.frames) for clip in range(len(dev.starts) - 1)]
    excerpts = [each for each in excerpts if len(each[1]) == plan.frames]
    if not excerpts:
        raise ValueError(f"no dev clip has {plan.frames} frames of a base layer: give fewer --frames")
    identity = torch.cat([first for first, _, _ in excerpts])
    true, low = (torch.stack([each[part] for each in excerpts], 1) for part in (1, 2))
    eye, truth = Eye(), pictures(true)
    yield "bicubic", figures(truth, pictures(torch.stack([enlarged(each, plan.size) for each in low])), eye)
    for name, variant in VARIANTS.items():
        network, previous_noise = _trained(plan, name, variant, videos, stop)
        with torch.inference_mode():
            random = torch.Generator().manual_seed(plan.seed)
            drawn = list(draw_video(network, identity, low, random, plan.steps, previous_noise))
        yield variant.title, figures(truth, pictures(torch.stack(drawn)), eye)


def _trained(plan: Plan, name: str, variant: Variant, videos: Videos, stop: Stop) -> tuple[FacEnhanceNetwork, bool]:
    """The network of a variant, trained to the end, and whether its previous frames have noise."""
    folder = plan.out / name
    settings = replace(NetworkSettings(plan.size, plan.width), **variant.network)
    training = replace(Training(plan.minutes, seed=plan.seed, soft_previous=False), **variant.training)
    with sole_trainer(folder):
        trainer = Trainer(settings, training, torch.device("cpu"))
        if (folder / "checkpoint.pt").exists():
            trainer.load(folder / "checkpoint.pt")
        if trainer.seconds < 60 * plan.minutes:
            for line in train(trainer, videos, None, folder, stop):
                print(f"{name}: step {line['step']}, loss {line['loss']:.4f}", file=sys.stderr, flush=True)
        if stop.requested:
            raise ValueError("interrupted; the same command goes on")
    return read_network(folder / "facenhance.safetensors")


def pictures(video: Tensor) -> list[Video]:
    """Of (T, B, 3, S, S) in -1..1: of each of B videos its frames (S, S, 3)."""
    bytes_ = ((video + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 0, 3, 4, 2).numpy()
    return [[np.ascontiguousarray(frame) for frame in each] for each in bytes_]
