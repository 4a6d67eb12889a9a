"""A tiny motion basis from a fixed seed, independent of shipped weights, and motions around it."""

import numpy as np

from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL
from shared.motion import Motion

KEYPOINTS, COMPONENTS, REACH = 4, 4, 7


def _frequencies(spread: float) -> np.ndarray:
    positions = np.arange(-REACH, REACH + 1)
    shares = np.exp(-np.abs(positions) / spread)
    # The outermost values get no frequency, so that they go by the escape although the table could hold them.
    shares[[0, -1]] = 0
    row = np.floor(shares / shares.sum() * (TOTAL - 64)).astype(np.int64)
    return np.tile(np.append(row, TOTAL - row.sum()), (6 + COMPONENTS, 1)).astype(np.uint16)


def make_basis(seed: int = 7) -> MotionBasis:
    # Every coefficient moves numbers of its own: no linear algebra, whose result depends on the machine.
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], 3 * KEYPOINTS)
    directions = np.tile(np.eye(COMPONENTS), 3 * KEYPOINTS // COMPONENTS) * signs
    return MotionBasis(
        pose_mean=np.array([1, 2, -1, 0, 0.125, 0, 0], np.float32),
        pose_steps=np.array([0.5, 0.5, 0.5, 0.0625, 0.0078125, 0.0078125, 0], np.float32),
        expression_mean=signs.astype(np.float32) / 8,
        components=directions.astype(np.float32),
        analysis=(directions * COMPONENTS / (3 * KEYPOINTS)).astype(np.float32),
        component_steps=np.full(COMPONENTS, 0.03125, np.float32),
        intra_frequencies=_frequencies(4.0),
        inter_frequencies=np.stack([_frequencies(spread) for spread in (0.6, 1.0, 2.0)]),
        activity=np.full(6 + COMPONENTS, 8, np.uint16),
        context_edges=np.array([12, 24], np.uint16),
    )


def make_motions(basis: MotionBasis, count: int, seed: int = 3, spread: int = 3) -> tuple[Motion, ...]:
    """Motions that lie exactly on the quantiser's grid, wandering."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-spread, spread + 1, (count, len(basis.intra_tables)))
    return tuple(basis.motion(row) for row in np.cumsum(steps, axis=0))
