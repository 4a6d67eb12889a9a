"""What tests of reactions share: a performer whose performances are numbers, and an engine that paints them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from call_examples import ColourEngine

from shared.models.base_fusion import BasePicture
from shared.models.engine import Picture, Weighted
from shared.motion import FloatArray, Motion
from shared.reactions import LABELS


@dataclass
class StepPerformer:
    """From the motion as it is to an expression of 0.1 times the label's number everywhere, in equal steps; the head
    nods meanwhile."""

    asked: list[tuple[str, Motion, FloatArray]] = field(default_factory=list)

    def perform(
        self, label: str, motion: Motion, canonical: FloatArray, *, frames: int = 32, intensity: float = 1.0,
        seed: int = 0, returns: bool = False,
    ) -> list[Motion]:  # fmt: skip
        self.asked.append((label, motion, canonical))
        apex = 0.1 * (1 + LABELS.index(label)) * intensity
        return [
            Motion(motion.rotation, motion.scale, motion.translation,
                   np.asarray(motion.expression + share * (apex - motion.expression), np.float32))
            for share in np.linspace(0, 1, frames)
        ]  # fmt: skip


class Own:
    """What this side sends: takes keys."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def react(self, number: int) -> None:
        self.numbers.append(number)

    def reaction_line(self) -> str:
        return f"your reaction: {LABELS[self.numbers[-1] - 1]}" if self.numbers else ""


@dataclass
class FaceEngine(ColourEngine):
    """Paints the mean of the expression blue: 0.1 are 10."""

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        drawn = super().draw(sources, driving, base)
        drawn[..., 2] = round(float(np.clip(driving.expression.mean(), 0, 2)) * 100)
        return drawn
