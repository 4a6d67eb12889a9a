"""The motion of clips, frame by frame, with the landmarks that come with them: what the motion codec is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.progress import Progress
from shared.models.engine import Engine
from shared.models.layers import LANDMARKS
from shared.models.registry import load_engine
from shared.motion import FloatArray
from weights.training.data import read_frames, read_mesh

SIZE = 256
LIPS = ((13, 14),)
EYELIDS = ((159, 145), (386, 374))
"""Face-mesh landmarks of which the upper and the lower one move apart."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Landmarks of a clip."""

    points: FloatArray
    """(T, 478, 3)"""
    ok: NDArray[np.bool_]
    """(T,) whether there was a face."""


@dataclass(frozen=True, eq=False)
class Recording:
    """The motion of a clip."""

    name: str
    vectors: FloatArray
    """(T, 7 + 3K)"""
    canonical: FloatArray
    """(T, K, 3) canonical keypoints as each frame alone gives them."""
    mesh: Mesh | None


def record(path: Path, progress: Progress) -> Recording:
    """Extracts the motion of a clip with the compact engine. Raises ValueError if no frame can be read."""
    progress.begin(f"extracting motion of {path.stem}", 1.0)
    frames = read_frames(path, SIZE)
    found = []
    for frame in frames:
        found.append(_engine().extract(frame))
        progress.advance(1 / len(frames))
    mesh = None
    if path.with_suffix(".npz").exists():
        points, ok = read_mesh(path.with_suffix(".npz"), len(frames), 1)
        mesh = Mesh(points, ok > 0)
    vectors = np.stack([motion.vector() for _, motion in found])
    return Recording(path.stem, vectors, np.stack([canonical for canonical, _ in found]), mesh)


def openings(points: NDArray[np.floating], of_mesh: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T,) how far lips and eyelids are open, of (T, K, 3) keypoints or of (T, 478, 3) landmarks."""

    def opening(pairs: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
        ends = [(a, b) if of_mesh else (LANDMARKS.index(a), LANDMARKS.index(b)) for a, b in pairs]
        apart = [np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=-1) for a, b in ends]
        return np.asarray(np.mean(apart, axis=0), np.float64)

    return opening(LIPS), opening(EYELIDS)


@cache
def _engine() -> Engine:
    return load_engine("compact", "cpu", draws=False)
