"""Weights in files: where those lie that are embedded, fetched or converted, and that they are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor


def embedded(name: str) -> Path:
    """Path of a file of the package `weights`; it may be missing.

    Found by its place beside this package: by its name, a `weights.py` of the user's could be taken for it.
    """
    return Path(__file__).parents[2] / "weights" / name


def folder() -> Path:
    """The user's folder of weights; it may not exist yet."""
    from platformdirs import user_data_path  # a machine that only trains has none

    return user_data_path("pinhole", appauthor=False) / "weights"


def stored(name: str) -> Path:
    """Path of a file of the store, such as `vox256_motion.safetensors`; it may not exist yet."""
    return folder() / name


class Converted(NamedTuple):
    """A checkpoint in our layout."""

    name: str
    """The entry of the catalogue it is, such as `esrgan`."""
    files: dict[str, dict[str, Tensor]]
    """Tensors by name, by the name of the safetensors file that holds them."""


def check_finite(tensors: Mapping[str, Tensor], file: str) -> None:
    """Raises ValueError if a tensor of a file has a number that is NaN or infinite."""
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ValueError(
            f"{file} holds numbers that are none (NaN or infinite) in {len(broken)} of {len(tensors)} tensors, such as "
            f"{broken[0]}: get an undamaged copy, or one of before the training went wrong"
        )
