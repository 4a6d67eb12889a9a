"""What performs an expression in the motion space of an engine, as both sides of a call use it."""

from __future__ import annotations

import logging
from typing import Protocol

from shared.models.engine import EngineError
from shared.models.expressions import ExpressionPerformer
from shared.motion import FloatArray, Motion

logger = logging.getLogger(__name__)

ENGINE = "compact"
"""In whose motion space there are performances."""


class Performer(Protocol):
    """Gives expression videos of a person, as motion."""

    def perform(
        self, label: str, motion: Motion, canonical: FloatArray, *, frames: int = 32, intensity: float = 1.0,
        seed: int = 0, returns: bool = False,
    ) -> list[Motion]:  # fmt: skip
        """At least one frame of one of `shared.reactions.LABELS`, from a motion as it is to the apex; (K, 3) canonical
        keypoints say whose."""


def load_performer(engine: str) -> Performer | None:
    """What performs expressions in the motion space of an engine; None, with a warning, where there is none: a
    receiver offers no reactions then, and a sender reads none off a face."""
    if engine != ENGINE:
        return None
    try:
        return ExpressionPerformer.load()
    except EngineError as error:
        logger.warning("there are no reactions in this call: %s", error)
        return None
