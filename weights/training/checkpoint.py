"""Files of a training run: checkpoints to go on from, and weights to draw with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a state; a file being written never replaces a good one."""
    torch.save(dict(state), path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Writes weights as fp16 safetensors."""
    save_file({k: v.half().contiguous().cpu() for k, v in weights.items()}, path)
