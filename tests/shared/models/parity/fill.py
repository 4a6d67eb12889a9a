"""Weights that follow from their names: the golden outputs in this folder were computed by networks filled so.

A network with the same parameter names and shapes as the published one gets the same numbers, and must then compute
the same outputs. Only the names as the published checkpoints have them count, without the network's own prefix.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

POWER_ITERATIONS = 20
"""Of the spectral norm's vectors, so that they are those of the filled weight."""


def fill(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """An array of this shape: float32, or int64 zeros for `num_batches_tracked`.

    Variances are 0.5 to 1.5, gains near one, biases and means near zero, kernels normal with variance 2 / fan-in
    (times 2e-4 for heads named `fc_...`, which keeps angles in their usual range). Raises ValueError for `weight_u` and
    `weight_v`: they follow from another tensor, see `filled`.
    """
    kind = name.rpartition(".")[2]
    if kind in ("weight_u", "weight_v"):
        raise ValueError(f"{name} follows from the weight beside it: use `filled`")
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    random = _generator(name)
    if kind == "running_var":
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    normal = random.standard_normal(shape)
    if len(shape) < 2:
        return np.asarray((kind == "weight") + 0.05 * normal, np.float32)
    gain = 2e-4 if name.startswith("fc_") else 1.0
    return np.asarray(gain * normal * np.sqrt(2.0 / np.prod(shape[1:])), np.float32)


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """`fill` for every parameter of a network, and the vectors of its spectral norms."""
    derived = [name for name in shapes if name.endswith((".weight_u", ".weight_v"))]
    arrays = {name: fill(name, tuple(shape)) for name, shape in shapes.items() if name not in derived}
    for name in derived:
        if name.endswith(".weight_u"):
            stem = name.removesuffix("weight_u")
            arrays[name], arrays[stem + "weight_v"] = _singular(arrays[stem + "weight_orig"], _generator(name))
    return arrays


def _singular(
    weight: NDArray[np.float32] | NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Left and right singular vectors of the largest singular value, by power iteration from a random start."""
    matrix = weight.reshape(len(weight), -1).astype(np.float64)
    left = random.standard_normal(len(matrix))
    for _ in range(POWER_ITERATIONS):
        right = left @ matrix
        right = right / np.linalg.norm(right)
        left = matrix @ right
        left = left / np.linalg.norm(left)
    return left.astype(np.float32), right.astype(np.float32)


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))
