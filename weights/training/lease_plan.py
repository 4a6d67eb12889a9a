"""What a lease trains and for how long: legs by the wall clock, one after the other, over one call or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.models.dense_motion import GENERATORS
from weights.training.stages import RECIPE, Stage


@dataclass(frozen=True)
class Leg:
    """A stage of the recipe for one of the generators."""

    generator: str
    stage: str
    minutes: float

    @property
    def name(self) -> str:
        """As `Leg`s are told apart and given on a command line."""
        return self.stage if self.generator == "compact" else f"{self.generator}:{self.stage}"


PLAN = (
    Leg("compact", "motion", 2.5),
    Leg("compact", "256", 1.5),
    Leg("compact", "fused", 2.0),
    Leg("compact", "base", 2.0),
    Leg("standard", "256", 1.5),
    Leg("standard", "base", 2.5),
)
"""For twelve minutes: what everything hangs on first, then what most machines draw with, then what a GPU draws with."""

BATCHES = {
    ("compact", "motion"): 256, ("compact", "128"): 128, ("compact", "256"): 64, ("compact", "sharp"): 64,
    ("compact", "fused"): 40, ("compact", "base"): 40, ("standard", "256"): 32, ("standard", "sharp"): 32,
    ("standard", "fused"): 20, ("standard", "base"): 20,
}  # fmt: skip
"""Pairs a step on a GPU of 80 GB; a leg that is not here has its stage's own."""
_BATCHES_TO_RATE = 0.5
"""The learning rate grows by this power of the batch: the root of it, as Adam likes it."""
_HIGHEST = 3.0
"""Times the recipe's learning rate at most."""


def parsed(text: str | None) -> list[Leg]:
    """Legs from `[GENERATOR:]STAGE=MINUTES,...`; None is PLAN. Raises ValueError with what to do."""
    if text is None:
        return list(PLAN)
    stages, legs = [stage.name for stage in RECIPE], list[Leg]()
    for part in text.split(","):
        name, _, minutes = part.partition("=")
        generator, _, stage = name.rpartition(":")
        generator = generator or "compact"
        if stage not in stages or generator not in GENERATORS:
            known = f"stages {', '.join(stages)}; generators {', '.join(GENERATORS)}"
            raise ValueError(f"there is no leg {name!r}: write [GENERATOR:]STAGE=MINUTES with {known}")
        try:
            legs.append(Leg(generator, stage, float(minutes)))
        except ValueError:
            raise ValueError(f"{part!r}: minutes are a number, as in {name}=2.5") from None
    if len({leg.name for leg in legs}) < len(legs):
        raise ValueError("a leg may come once only: a second one would take the first one's checkpoint for its own")
    return legs


def scaled(legs: Sequence[Leg], minutes: float) -> list[Leg]:
    """The same legs, `minutes` long together."""
    total = sum(leg.minutes for leg in legs)
    return [replace(leg, minutes=leg.minutes * minutes / total) for leg in legs]


def stage_of(leg: Leg, batch: int | None, on_gpu: bool) -> Stage:
    """The stage of a leg, with the batch and learning rate of the machine; `batch` replaces the table's."""
    stage = next(stage for stage in RECIPE if stage.name == leg.stage)
    size = batch or (BATCHES.get((leg.generator, leg.stage), stage.batch) if on_gpu else stage.batch)
    faster = min(_HIGHEST, math.pow(size / stage.batch, _BATCHES_TO_RATE))
    return replace(stage, minutes=leg.minutes, batch=size, rate=stage.rate * max(faster, 0.5))
