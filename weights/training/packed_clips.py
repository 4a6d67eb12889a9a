"""Unpacked training data as clips in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from weights.training.bases import KINDS, Bases
from weights.training.data import Clips, by_person, head_poses, rare_frames
from weights.training.source_cache import WireSources


def packed_clips(folder: Path, layout: dict[str, Any], section: str = "train") -> Clips:
    """The clips of a section that `weights.training.unpack` unpacked; frames stay on the disk until they are moved."""
    about, size = layout[section], layout["size"]
    frames = np.load(folder / f"{section}_frames.npy", mmap_mode="c")
    mesh, ok = np.load(folder / f"{section}_mesh.npy"), np.load(folder / f"{section}_ok.npy")
    starts, names = about["starts"], about["names"]
    numbers = np.concatenate([np.asarray(each, np.int64) for each in about["numbers"]])
    points, found = mesh.astype(np.float64), ok > 0
    poses, mirror = head_poses(points, found)
    wire, bases = None, None
    if section == "train" and layout["wire"]["frames"]:
        wire = _wire(folder, layout["wire"], about)
    if layout.get("bases"):
        try:
            bases = {kind: Bases.load(folder, kind, names, starts, numbers) for kind in KINDS}
        except ValueError:
            if section == "train":
                raise  # dev clips may have been packed without
    assert frames.shape[1] == size
    return Clips(
        torch.from_numpy(frames), torch.from_numpy(mesh), torch.from_numpy(ok), poses, mirror, torch.tensor(starts),
        rare_frames(points, found, starts), 1, names, torch.from_numpy(numbers), by_person(about["persons"]),
        wire, bases,
    )  # fmt: skip


def _wire(folder: Path, wire: dict[str, Any], about: dict[str, Any]) -> WireSources:
    """Coded sources; a frame is the place of the one it shows among those of its clip that were packed."""
    clip = np.array(wire["clips"], np.int64)
    place = [np.searchsorted(about["numbers"][c], number) for c, number in zip(clip, wire["frames"], strict=True)]
    starts = np.searchsorted(clip, np.arange(len(about["names"]) + 1))
    pictures = np.load(folder / "wire_frames.npy", mmap_mode="c")
    return WireSources(
        torch.from_numpy(pictures), torch.from_numpy(clip), torch.tensor(np.array(place, np.int64)),
        torch.from_numpy(starts.astype(np.int64)),
    )  # fmt: skip
