"""Weights that are numbers: one NaN in them, and every picture is black."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def check_finite(tensors: Mapping[str, Tensor], file: str) -> None:
    """Raises ValueError if a tensor of a file has a number that is NaN or infinite."""
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ValueError(
            f"{file} holds numbers that are none (NaN or infinite) in {len(broken)} of {len(tensors)} tensors, such as "
            f"{broken[0]}: get an undamaged copy, or one of before the training went wrong"
        )
