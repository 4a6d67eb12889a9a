"""Talking-head clips in memory: frames, landmarks, and batches of (source, driving) pairs augmented on the device.

A clips folder holds `NAME.mp4` (square) and `NAME.npz` with `base`, `d`, `scale` (face-mesh landmarks as 8-bit steps in
time) and `ok` (frames with a face). Clips without landmarks train too, without the landmark losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.models.compact import LANDMARKS


class Batch(NamedTuple):
    """Pictures (B, 3, S, S) in 0..1, landmarks (B, L, 3) in -1..1 (z in the landmark model's unit), ok (B,) 0 or 1."""

    source: Tensor
    driving: Tensor
    source_landmarks: Tensor
    driving_landmarks: Tensor
    source_ok: Tensor
    driving_ok: Tensor


def read_frames(path: Path, size: int, step: int = 1) -> np.ndarray:
    """(T, size, size, 3) uint8 RGB, every `step`-th frame of a square clip."""
    capture, frames, index = cv2.VideoCapture(str(path)), [], 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        if index % step == 0:
            if frame.shape[0] != size:
                frame = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        index += 1
    if not frames:
        raise ValueError(f"{path.name}: no frame could be read")
    return np.stack(frames)


def read_landmarks(path: Path, frames: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, L, 3) landmarks of the supervised keypoints in -1..1 and (T,) 1 where a face was found."""
    if not path.exists():
        return np.zeros((frames, len(LANDMARKS), 3), np.float32), np.zeros(frames, np.float32)
    z = np.load(path)
    steps = np.cumsum(z["d"].astype(np.int32), axis=2)
    all_points = ((z["base"][:, :, None].astype(np.int32) + steps).transpose(2, 1, 0) / z["scale"]).astype(np.float32)
    points = all_points[::step][:frames, list(LANDMARKS)] * 2 - np.array([1, 1, 0], np.float32)
    ok = z["ok"][::step][:frames].astype(np.float32)
    short = frames - len(points)  # landmarks may end a frame early: such frames count as "no face"
    points = np.pad(np.nan_to_num(points), ((0, short), (0, 0), (0, 0)))
    return points, np.pad(ok, (0, short))


@dataclass
class Clips:
    """All frames of a folder: `frames` (N, S, S, 3) uint8, `landmarks` (N, L, 3), `ok` (N,), `starts` (clips + 1,)."""

    frames: Tensor
    landmarks: Tensor
    ok: Tensor
    starts: Tensor
    names: list[str]

    @staticmethod
    def load(folder: Path, size: int, step: int, limit: int | None = None) -> Clips:
        """Decodes every `step`-th frame of each clip once; `raw_*` and `*_512` recordings are left out."""
        paths = [p for p in sorted(folder.glob("*.mp4")) if not p.stem.startswith("raw") and "_512" not in p.stem]
        if not paths:
            raise ValueError(f"no clips (*.mp4) in {folder}")
        frames, points, oks, starts = [], [], [], [0]
        for path in paths[:limit]:
            clip = read_frames(path, size, step)
            landmarks, ok = read_landmarks(path.with_suffix(".npz"), len(clip), step)
            frames.append(torch.from_numpy(clip))
            points.append(torch.from_numpy(landmarks))
            oks.append(torch.from_numpy(ok))
            starts.append(starts[-1] + len(clip))
        names = [p.stem for p in paths[:limit]]
        return Clips(torch.cat(frames), torch.cat(points), torch.cat(oks), torch.tensor(starts), names)

    def to(self, device: torch.device) -> Clips:
        """A copy on `device`, so that a large GPU is never kept waiting for frames."""
        frames, landmarks, ok = (t.to(device) for t in (self.frames, self.landmarks, self.ok))
        return Clips(frames, landmarks, ok, self.starts, self.names)

    def pairs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices (batch,) of source and driving frames: a clip at random, two frames of it at random."""
        clips = torch.randint(len(self.starts) - 1, (batch,), generator=generator)
        low, length = self.starts[clips], self.starts[clips + 1] - self.starts[clips]
        pick = torch.rand((2, batch), generator=generator)
        return low + (pick[0] * length).long(), low + (pick[1] * length).long()

    def batch(self, batch: int, size: int, generator: torch.Generator) -> Batch:
        """A batch at `size` px: one random turn, zoom, shift and colour for both pictures; some sources degraded."""
        i, j = (index.to(self.frames.device) for index in self.pairs(batch, generator))
        both = torch.cat([self.frames[i], self.frames[j]]).permute(0, 3, 1, 2).float() / 255
        matrix, inverse = _affine(batch, generator, both.device)
        g = F.affine_grid(matrix.repeat(2, 1, 1), [2 * batch, 3, size, size], align_corners=False)
        if both.shape[-1] >= 2 * size:  # sampling alone would alias
            both = F.avg_pool2d(both, both.shape[-1] // size)
        both = F.grid_sample(both, g, align_corners=False, padding_mode="reflection")
        gain = 1 + 0.3 * (_rand((batch, 3, 1, 1), generator, both.device) - 0.5)
        bias = 0.1 * (_rand((batch, 1, 1, 1), generator, both.device) - 0.5)
        both = (both * gain.repeat(2, 1, 1, 1) + bias.repeat(2, 1, 1, 1)).clamp(0, 1)
        source, driving = both.chunk(2)
        return Batch(
            degrade(source, generator),
            driving,
            _move(self.landmarks[i], matrix, inverse),
            _move(self.landmarks[j], matrix, inverse),
            self.ok[i],
            self.ok[j],
        )


def degrade(source: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the batches get their sources as small pictures enlarged again, between a third of the size and whole."""
    if torch.rand((), generator=generator) < 0.5:
        return source
    size = source.shape[-1]
    small = int(size * (0.34 + 0.66 * float(torch.rand((), generator=generator)))) // 2 * 2
    shrunk = F.interpolate(source, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(shrunk, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def _rand(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(shape, generator=generator).to(device)


def _affine(batch: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, 2, 3) sampling matrices (±8.6 degrees, ±15 % zoom, ±10 % shift) and (B, 2, 2) inverses of their turns."""
    angle = 0.3 * (torch.rand(batch, generator=generator) - 0.5)
    zoom = 1 + 0.3 * (torch.rand(batch, generator=generator) - 0.5)
    shift = 0.2 * (torch.rand((batch, 2), generator=generator) - 0.5)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1)
    return matrix.to(device), torch.linalg.inv(matrix[:, :, :2]).to(device)


def _move(landmarks: Tensor, matrix: Tensor, inverse: Tensor) -> Tensor:
    """Landmarks as they lie in the augmented picture (the sampling matrix maps its pixels back to the clip's)."""
    xy = (landmarks[..., :2] - matrix[:, None, :, 2]) @ inverse.transpose(1, 2)
    zoom = torch.linalg.det(inverse).sqrt()
    return torch.cat([xy, landmarks[..., 2:] * zoom[:, None, None]], -1)
