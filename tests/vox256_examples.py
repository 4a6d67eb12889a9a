"""A checkpoint of the published face-vid2vid networks with weights that follow from their names."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from shared.models.vox256.convert import converted

PARITY = Path(__file__).parent / "shared" / "models" / "parity"
ENCODER_NORMS = ("first.norm", "down_blocks.0.norm", "down_blocks.1.norm")
"""Norms of the generator that a checkpoint of AdaSR-TalkingHead may do without."""


@cache
def shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Every parameter of every network, as published."""
    parts = json.loads((PARITY / "facevid2vid_vox256_shapes.json").read_text())
    return {part: {name: tuple(shape) for name, shape in names.items()} for part, names in parts.items()}


def weights(part: str) -> dict[str, Tensor]:
    """A network's tensors."""
    filled = runpy.run_path(str(PARITY / "fill.py"))["filled"]
    return {name: torch.as_tensor(array) for name, array in filled(shapes()[part]).items()}


def empty_checkpoint() -> dict[str, object]:
    """As published, extra keys and all, in tensors without contents."""
    parts: dict[str, object] = {
        part: {name: torch.empty(shape, device="meta") for name, shape in names.items()}
        for part, names in shapes().items()
    }
    return parts | {"discriminator": {}, "optimizer_generator": {"state": {}}, "epoch": 99}


def write_store(data_home: Path) -> Path:
    """Converts a filled checkpoint into the store that a program finds below this XDG_DATA_HOME; its folder."""
    folder = data_home / "pinhole" / "weights"
    folder.mkdir(parents=True)
    for name, tensors in converted({part: weights(part) for part in shapes()}).files.items():
        save_file(tensors, folder / name)
    return folder
