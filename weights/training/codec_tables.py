"""The probability tables of the motion codec, counted on clips; part of `weights.training.fit_codec`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.codec.bundle import held
from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL, UNIT, context_tables

Floats = NDArray[np.float64]

REACH = 63
FRAMES = 5
"""Of a bundle."""
EDGES = (0.4, 0.8, 1.3)
"""Of the contexts, in mean sizes of a difference."""


def with_tables(
    pose: Sequence[Floats],
    expression: Sequence[Floats],
    dead_zone: float,
    edges_in_means: Sequence[float] = EDGES,
    **parts: Floats,
) -> MotionBasis:
    """The basis of these parts with tables counted on clips, (T, 7) pose numbers and (T, 3K) expressions of each."""
    coded = np.flatnonzero(parts["pose_steps"])
    numbers = [
        np.concatenate(
            [
                (p - parts["pose_mean"])[:, coded] / parts["pose_steps"][coded],
                (e - parts["expression_mean"]) @ parts["analysis"].T / parts["component_steps"],
            ],
            axis=1,
        )
        for p, e in zip(pose, expression, strict=True)
    ]
    # A sender may skip every other frame, so both distances are counted.
    bundles = np.concatenate([b for x in numbers for step in (1, 2) for b in _bundles(x[::step], dead_zone)])
    differences = np.diff(bundles, axis=1)
    activity = np.clip(np.rint(UNIT / np.maximum(np.abs(differences).mean((0, 1)), 1e-3)), 1, 65535).astype(np.uint16)
    edges = np.rint(UNIT * np.array(edges_in_means)).astype(np.uint16)
    context = context_tables(differences, activity, edges)
    integers = np.rint(np.concatenate(numbers)).astype(np.int64)
    return MotionBasis(
        **{name: array.astype(np.float32) for name, array in parts.items()},
        # People differ more than the few in the clips show: positions are smoothed broadly, differences hardly.
        intra_frequencies=np.stack([_frequencies(column, 0.3) for column in integers.T]),
        inter_frequencies=np.stack(
            [
                np.stack([_frequencies(differences[..., n][context[..., n] == c], 0.1) for n in range(len(activity))])
                for c in range(len(edges) + 1)
            ]
        ),
        activity=activity,
        context_edges=edges,
    )


def _bundles(numbers: Floats, dead_zone: float) -> Iterator[NDArray[np.int64]]:
    """(1, FRAMES, D) integers of bundles of consecutive frames; one may begin at any frame."""
    integers: list[NDArray[np.int64]] = []
    for frame in numbers:
        integers.append(held(frame, integers[-1] if integers else None, dead_zone))
    for first in range(0, len(numbers) - FRAMES + 1, FRAMES):
        yield np.stack(integers[first : first + FRAMES])[None]


def _frequencies(values: NDArray[np.int64], smoothing: float) -> NDArray[np.uint16]:
    """(2R + 2,) frequencies: counts blurred by `smoothing` standard deviations, with a share of a wide Laplacian."""
    positions = np.arange(-REACH, REACH + 1)
    inside = np.abs(values) <= REACH
    counts = np.bincount(values[inside] + REACH, minlength=len(positions)).astype(np.float64)
    spread = max(float(np.abs(values).mean()), 0.3) if len(values) else 1.0
    kernel = np.exp(-0.5 * (positions / max(smoothing * spread, 0.2)) ** 2)
    blurred = np.convolve(counts, kernel / kernel.sum(), "same")
    tail = np.exp(-np.abs(positions) / (2 * spread))
    seen = 0.95 if counts.any() else 0.0
    probabilities = seen * blurred / max(blurred.sum(), 1e-9) + (1 - seen) * tail / tail.sum()
    # Values without a frequency of their own go by the escape, which so carries their probability.
    escape = max(float((~inside).mean()) if len(values) else 0.0, 1 / 1024)
    frequencies = np.floor(probabilities * (1 - escape) * TOTAL).astype(np.int64)
    return np.append(frequencies, TOTAL - frequencies.sum()).astype(np.uint16)
