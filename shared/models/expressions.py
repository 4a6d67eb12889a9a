"""Expressions: from one picture's motion and a label, the motions of that person performing it.

A performance begins at any motion, neutral or not, and goes to the expression's apex; the engine that read the motion
draws it. The network is `shared.models.expression_network`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch

from shared.models.engine import load_strictly
from shared.models.expression_network import BEND, NOISE, POSE, SHIFT, STEPS, TURN, TrajectoryGenerator
from shared.models.registry import locate
from shared.motion import FloatArray, Motion, rotation_matrix, to_the_front
from shared.reactions import LABELS

FRAMES_AT_MOST = 1000
INTENSITY_AT_MOST = 2.0
"""Times the usual; keypoints twice as far as in any face are drawn as no face."""
_GOING, _STAYING = 0.4, 0.2
"""Shares of a performance that returns: on the way to the apex, and there; the rest is the way back."""


class ExpressionPerformer:
    """Performs expressions. Threads may call it at once."""

    def __init__(self, generator: TrajectoryGenerator) -> None:
        self._generator = generator.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """With weights of a safetensors file, or with the embedded ones. Raises EngineError."""
        generator = TrajectoryGenerator()
        load_strictly(generator, locate("expression") if path is None else path)
        return cls(generator)

    def perform(
        self, label: str, motion: Motion, canonical: FloatArray, *, frames: int = STEPS, intensity: float = 1.0,
        seed: int = 0, returns: bool = False,
    ) -> list[Motion]:  # fmt: skip
        """Motions of a performance, the first of them `motion`, the last one its apex; or `motion` if it returns.

        canonical: (K, 3) keypoints of the picture. frames: 2 to FRAMES_AT_MOST. intensity: 0 to INTENSITY_AT_MOST,
        of the change. seed: another one, another performance. Raises ValueError for what is none of these.
        """
        if label not in LABELS:
            raise ValueError(f"there is no expression {label!r}; there are {', '.join(LABELS)}")
        if not 2 <= frames <= FRAMES_AT_MOST:
            raise ValueError(f"a performance has 2 to {FRAMES_AT_MOST} frames, not {frames}")
        if not 0 <= intensity <= INTENSITY_AT_MOST:
            raise ValueError(f"an intensity is 0 to {INTENSITY_AT_MOST:g} times the usual one, not {intensity:g}")
        noise = torch.randn(1, NOISE, generator=torch.Generator().manual_seed(seed % 2**63))
        with torch.inference_mode():
            identity = torch.from_numpy(identity_of(motion, canonical))[None]
            change = self._generator(torch.tensor([LABELS.index(label)]), identity, noise)[0].T.numpy()
        at = moments(frames, returns) * (STEPS - 1)
        changes = np.stack([np.interp(at, np.arange(STEPS), each) for each in change.T], 1) * intensity
        return [motion if not step.any() else changed(motion, step) for step in changes]


def moments(frames: int, returns: bool) -> FloatArray:
    """(frames,) how far each is on the way to the apex, 0..1."""
    time = np.linspace(0, 1, frames)
    if not returns:
        return time.astype(np.float32)
    back = np.clip((1 - time) / (1 - _GOING - _STAYING), 0, 1)
    eased = back * back * (3 - 2 * back)
    return np.minimum(np.clip(time / _GOING, 0, 1), eased).astype(np.float32)


def identity_of(motion: Motion, canonical: FloatArray) -> FloatArray:
    """(6K,) who it is, and the expression the face has now: what a performance depends on."""
    own = to_the_front(motion)
    return np.concatenate([canonical.reshape(-1), own.reshape(-1)]).astype(np.float32)


def changed(motion: Motion, step: FloatArray) -> Motion:
    """A motion with (POSE + 3K,) changes of a trajectory's step added."""
    pose, deformation = step[:POSE], BEND * step[POSE:].reshape(-1, 3)
    rotation = motion.rotation + TURN * pose[:3]
    own = to_the_front(motion) + deformation
    return Motion(
        np.asarray(rotation, np.float32),
        float(motion.scale * np.exp(SHIFT * pose[3])),
        np.asarray(motion.translation + motion.scale * SHIFT * np.append(pose[4:], 0), np.float32),
        np.asarray(own @ rotation_matrix(rotation).T, np.float32),
    )


def change_between(start: Motion, later: Motion) -> FloatArray:
    """(POSE + 3K,) such that `changed(start, it)` is the later motion, its tz aside."""
    shift = (later.translation - start.translation)[:2] / (SHIFT * start.scale)
    scale = np.log(later.scale / start.scale) / SHIFT
    turn = (later.rotation - start.rotation) / TURN
    own = to_the_front(later) - to_the_front(start)
    return np.concatenate([turn, [scale], shift, own.reshape(-1) / BEND]).astype(np.float32)
