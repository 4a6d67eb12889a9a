"""Dev metrics and sample sheets of a training run: figures of people the networks have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from shared.models.base_fusion import Base
from shared.models.compact import CompactNetwork
from shared.models.dense_motion import GENERATORS, Source, SourceFeatures
from shared.models.layers import LANDMARKS, MotionTensors, keypoints
from weights.training.data import Clips
from weights.training.trainer import TrainedNetwork, motion_input

FRAMES = 25
"""Frames of each clip that are looked at."""
_CPU = torch.device("cpu")
_TOGETHER = 25
"""Frames drawn at a time on a GPU."""
_MOUTH = ((13, 14),)
_EYES = ((159, 145), (386, 374))
_SPAN = (33, 263)
"""Outer eye corners: openings are measured against their distance."""


class Clip(NamedTuple):
    """Some frames of a clip."""

    frames: Tensor
    """(T, 3, S, S) in 0..1"""
    landmarks: Tensor
    """(T, L, 3) of the supervised keypoints"""
    ok: Tensor
    """(T,)"""
    bases: tuple[Tensor, Tensor, Tensor] | None = None
    """(T, 3, S, S) frames that base pictures show, (T, 3, S, S) these, (T, STATE) their states"""

    def to(self, device: torch.device) -> Clip:
        """A copy on `device`."""
        bases = None if self.bases is None else tuple(each.to(device) for each in self.bases)
        return Clip(self.frames.to(device), self.landmarks.to(device), self.ok.to(device), bases)  # type: ignore[arg-type]


def clips_of(dev: Clips, size: int) -> list[Clip]:
    """FRAMES frames of each clip, evenly spaced, at `size`."""
    out = []
    for start, end in zip(dev.starts[:-1].tolist(), dev.starts[1:].tolist(), strict=True):
        index = torch.linspace(start, end - 1, FRAMES).long()
        frames = dev.frames[index].permute(0, 3, 1, 2).float() / 255
        if frames.shape[-1] > size:
            frames = torch.nn.functional.avg_pool2d(frames, frames.shape[-1] // size)
        bases = None
        if dev.bases is not None:
            of, pictures, states = dev.newest_bases(index, frames.shape[-1])
            bases = dev.frames[of].permute(0, 3, 1, 2).float() / 255, pictures.permute(0, 3, 1, 2).float() / 255, states
        out.append(Clip(frames, dev.mesh[index][:, list(LANDMARKS)].float(), dev.ok[index] > 0, bases))
    return out


@torch.no_grad()
def evaluate(
    average: dict[str, Tensor],
    dev: Clips,
    size: int,
    drawing: bool,
    generator: str = "compact",
    device: torch.device = _CPU,
) -> tuple[dict[str, float], np.ndarray]:
    """Figures of the dev clips, means over clips, and a sheet (source, driving, drawn per column; worst frames).

    `mouth`, `eyes`: correlation of openings with the landmarks'; `points_px`: error of the supervised keypoints; of
    what the motion network reads off the camera's frames, and with `drawn_` off the drawn ones. `psnr`, `freeze`: dB of
    RGB; `sharp`: Laplacian energy in the middle of the picture over the true one. `two_psnr`, `two_sharp`: drawn from
    two sources at once, half of each, the other from the middle of the clip. `base_`: from the first frame and a base
    layer of the newest picture, where the clips have one.
    """
    network = TrainedNetwork(GENERATORS[generator]).eval()
    network.load_state_dict(average)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows, columns = [], []
    for clip in clips_of(dev, size):
        clip = clip.to(device)
        figures, motion = _read(network, clip)
        first = clip.frames[:1]
        picture = clip.frames
        if drawing:
            picture = _draw(network, clip.frames, motion, (0,), range(FRAMES))
            others = [t for t in range(1, FRAMES) if t != FRAMES // 2]
            two = _draw(network, clip.frames, motion, (0, FRAMES // 2), others)
            figures["two_psnr"] = float((-10 * (two - clip.frames[others]).square().mean((1, 2, 3)).log10()).mean())
            figures["two_sharp"] = _sharpness(two) / _sharpness(clip.frames[others])
            figures |= {f"drawn_{k}": v for k, v in _read(network, clip._replace(frames=picture))[0].items()}
            error = (picture - clip.frames).square().mean((1, 2, 3)).clamp_min(1e-8)[1:]
            still = (first - clip.frames).square().mean((1, 2, 3)).clamp_min(1e-8)[1:]
            figures["psnr"] = float((-10 * error.log10()).mean())
            figures["freeze"] = float((-10 * still.log10()).mean())
            figures["sharp"] = _sharpness(picture[1:]) / _sharpness(clip.frames[1:])
            if clip.bases is not None:
                picture = _draw(network, clip.frames, motion, (0,), range(FRAMES), clip.bases)
                error = (picture - clip.frames).square().mean((1, 2, 3)).clamp_min(1e-8)[1:]
                figures["base_psnr"] = float((-10 * error.log10()).mean())
                figures["base_sharp"] = _sharpness(picture[1:]) / _sharpness(clip.frames[1:])
                figures |= {f"base_{k}": v for k, v in _read(network, clip._replace(frames=picture))[0].items()}
        worst = int((picture - clip.frames).square().mean((1, 2, 3)).argmax())
        columns.append(torch.cat([clip.frames[0], clip.frames[worst], picture[worst]], 1))
        rows.append(figures)
    sheet = (torch.cat(columns, 2).permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}, sheet


def _read(network: CompactNetwork, clip: Clip) -> tuple[dict[str, float], MotionTensors]:
    motion = network.motion(motion_input(clip.frames))
    points = keypoints(motion.canonical[:1].expand(FRAMES, -1, -1), motion)[:, : len(LANDMARKS)]
    own, true = points[clip.ok][..., :2].cpu().numpy(), clip.landmarks[clip.ok][..., :2].cpu().numpy()
    if len(own) < 2:
        return dict.fromkeys(("mouth", "eyes", "points_px"), float("nan")), motion
    return {
        "mouth": _correlation(_opening(own, _MOUTH), _opening(true, _MOUTH)),
        "eyes": _correlation(_opening(own, _EYES), _opening(true, _EYES)),
        "points_px": float(np.linalg.norm(own - true, axis=-1).mean() * 128),
    }, motion


def _draw(
    network: CompactNetwork,
    frames: Tensor,
    motion: MotionTensors,
    sources: Sequence[int],
    driving: Sequence[int],
    bases: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """(N, 3, S, S) the N driving frames from sources, and maybe bases, in the batches that the device likes."""
    of_bases = None if bases is None else network.motion(motion_input(bases[0]))
    own = [_at(motion, [t]) for t in sources]
    encoded = [network.encoder(frames[t : t + 1]) for t in sources]
    drawn, together = [], _TOGETHER if frames.is_cuda else 1
    for at in range(0, len(driving), together):
        some = driving[at : at + together]
        given = [_repeated(e, m, len(some)) for e, m in zip(encoded, own, strict=True)]
        weights = torch.ones(len(some), len(sources), device=frames.device)
        base = None
        if bases is not None and of_bases is not None:
            base = Base(bases[1][list(some)], _at(of_bases, some), bases[2][list(some)])
        drawn.append(network.draw(given, weights, _at(motion, some), base).picture)
    return torch.cat(drawn)


def _repeated(features: SourceFeatures, motion: MotionTensors, count: int) -> Source:
    """A source for so many frames."""
    encoded, own = ([part.expand(count, *part.shape[1:]) for part in each] for each in (features, motion))
    return Source(SourceFeatures(*encoded), own[0], MotionTensors(*own))


def _at(motion: MotionTensors, frames: Sequence[int]) -> MotionTensors:
    return MotionTensors(*(t[list(frames)] for t in motion))


def _opening(points: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    def distance(a: int, b: int) -> np.ndarray:
        return np.asarray(np.linalg.norm(points[:, LANDMARKS.index(a)] - points[:, LANDMARKS.index(b)], axis=-1))

    return np.asarray(sum(distance(a, b) for a, b in pairs) / (distance(*_SPAN) + 1e-6))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else float("nan")


def _sharpness(pictures: Tensor) -> float:
    size = pictures.shape[-1]
    middle = pictures[..., size // 4 : -size // 4, size // 4 : -size // 4].mean(1).cpu().numpy() * 255
    return float(np.mean([np.abs(cv2.Laplacian(p.astype(np.float32), cv2.CV_32F)).mean() for p in middle]))
