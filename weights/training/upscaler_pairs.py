"""What the wire shows and what was there, four times as large: the pictures that the upscaler learns from.

They are made once and kept in a cache, since the machine that trains may lack the encoder. Clips of 256 px give pairs
of 64 and 256, those of 512 px (`*_512.mp4`) pairs of 128 and 512.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.call.report import StatusLine
from shared.models.engine import Picture
from shared.resampling import resampled
from weights.training.source_cache import (
    QUALITIES,
    packed,
    picked_frames,
    read_cache,
    through_the_codec,
    unpacked,
    write_cache,
)

FACTOR = 4
LOSSLESS = 101
"""Stands for quality "max" where a number is needed."""
DEV_QUALITIES = (35, 65, LOSSLESS)
"""A low one, the default of a call, and lossless."""

_CODINGS = 3
"""Every picture is coded at so many random qualities."""
_LOSSLESS_SHARE = 0.15
_STEP, _STEP_512 = 24, 12
"""Frames between pictures; the clips of 512 px are few and short."""
_DEV_FRAMES = 3
_FOCUS = ((33, 133), (362, 263), (13, 14))
"""Face-mesh points whose middles are the two eyes and the mouth."""
_KEYS = ("clip", "dev", "focus", "of", "quality", "ends", "data")


@dataclass(frozen=True)
class Pairs:
    """Pictures of one size."""

    truth: Tensor
    """(T, S, S, 3) uint8."""
    low: Tensor
    """(M, S/4, S/4, 3) uint8, decoded."""
    of: Tensor
    """(M,) int64: the truth of each low picture."""
    quality: Tensor
    """(M,) int64: 0 to 100, or LOSSLESS."""
    focus: Tensor
    """(T, 3, 2) float32: x and y of the eyes and the mouth in 0..1; not a number where no face was found."""
    clip: list[str]
    """Name of the clip of each truth."""

    def to(self, device: torch.device) -> Pairs:
        """A copy on `device`."""
        truth, low, of, quality, focus = (
            t.to(device) for t in (self.truth, self.low, self.of, self.quality, self.focus)
        )
        return Pairs(truth, low, of, quality, focus, self.clip)


def make_pairs(train: list[Path], dev: list[Path], out: Path, seed: int = 0) -> None:
    """Writes the cache from folders of clips and says how it gets on. Raises ValueError if they hold none."""
    jobs = [(path, False) for path in _clips(train)] + [(path, True) for path in _clips(dev)]
    out.parent.mkdir(parents=True, exist_ok=True)
    clips: list[str] = []
    devs: list[bool] = []
    focus: list[NDArray[np.float32]] = []
    of: list[int] = []
    quality: list[int] = []
    status = StatusLine()
    truths: list[bytes] = []
    lows: list[bytes] = []
    for number, (path, is_dev) in enumerate(jobs, 1):
        rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode())])
        points = _focus_points(path, dev if is_dev else train)
        side = 512 if path.stem.endswith("_512") else 256
        for frame, picture in _dev_frames(path) if is_dev else _train_frames(path, rng):
            truth = resampled(picture, side)
            for value in DEV_QUALITIES if is_dev else _random_qualities(rng):
                coded = through_the_codec(resampled(truth, side // FACTOR), "max" if value == LOSSLESS else value)
                lows.append(packed(coded))
                of.append(len(truths))
                quality.append(value)
            truths.append(packed(truth))
            clips.append(path.stem)
            devs.append(is_dev)
            focus.append(points[frame] if frame < len(points) else np.full((len(_FOCUS), 2), np.nan, np.float32))
        status.show(f"{number}/{len(jobs)} clips, {len(lows)} pairs", time.monotonic())
    status.say(f"{len(jobs)} clips, {len(lows)} pairs")
    write_cache(
        out, clip=np.array(clips), dev=np.array(devs), focus=np.array(focus, np.float32), of=np.array(of, np.int64),
        quality=np.array(quality, np.int64), ends=np.cumsum([len(p) for p in truths + lows], dtype=np.int64),
        data=np.frombuffer(b"".join(truths + lows), np.uint8),
    )  # fmt: skip


def load(path: Path, dev: bool) -> dict[int, Pairs]:
    """The pairs of the training clips or of the dev clips, by the side of the truth.

    Raises ValueError if the file is damaged, another one, or holds none.
    """
    arrays = read_cache(path, _KEYS, "weights.training.upscaler --prepare")
    pictures = _pictures(path, arrays)
    chosen = np.flatnonzero(arrays["dev"] == dev)
    sides = {int(t): pictures[t].shape[0] for t in chosen}
    pairs = {}
    for side in sorted(set(sides.values())):
        truths = [t for t in chosen if sides[int(t)] == side]
        place = {int(t): row for row, t in enumerate(truths)}
        lows = [m for m, t in enumerate(arrays["of"]) if int(t) in place]
        pairs[side] = Pairs(
            torch.from_numpy(np.stack([pictures[t] for t in truths])),
            torch.from_numpy(np.stack([pictures[len(arrays["clip"]) + m] for m in lows])),
            torch.tensor([place[int(arrays["of"][m])] for m in lows]),
            torch.from_numpy(arrays["quality"][lows]),
            torch.from_numpy(arrays["focus"][truths]),
            [str(arrays["clip"][t]) for t in truths],
        )
    if not pairs:
        raise ValueError(f"{path.name} has no {'dev' if dev else 'training'} pictures: prepare it again")
    return pairs


def batch(pairs: dict[int, Pairs], count: int, patch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(count, 3, P, P) patches of small pictures and (count, 3, 4P, 4P) of the true ones, in 0..1.

    A part of the patches, by how many pictures there are, comes from each size; half of them are centred on an eye or
    the mouth. Flips and colour gains are the same for both.
    """
    shares = torch.tensor([len(p.truth) * p.truth.shape[1] for p in pairs.values()], dtype=torch.float)
    sizes = torch.multinomial(shares, count, replacement=True, generator=generator)
    parts = [
        _patches(p, int((sizes == number).sum()), patch, generator)
        for number, p in enumerate(pairs.values())
        if (sizes == number).any()
    ]
    low, truth = (torch.cat(side).permute(0, 3, 1, 2).float() / 255 for side in zip(*parts, strict=True))
    flip = torch.rand((count, 1, 1, 1), generator=generator).to(low.device) < 0.5
    gain = (1 + 0.3 * (torch.rand((count, 3, 1, 1), generator=generator) - 0.5)).to(low.device)
    low, truth = (torch.where(flip, t.flip(3), t) * gain for t in (low, truth))
    return low, truth


def _patches(pairs: Pairs, count: int, patch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    device, side = pairs.low.device, pairs.low.shape[1]
    pick = torch.randint(len(pairs.low), (count,), generator=generator).to(device)
    anywhere = torch.rand((count, 2), generator=generator).to(device) * (side - patch + 1)
    which = torch.randint(pairs.focus.shape[1], (count,), generator=generator).to(device)
    shift = (torch.rand((count, 2), generator=generator).to(device) - 0.5) * patch / 2
    centred = pairs.focus[pairs.of[pick], which] * side - patch / 2 + shift
    focused = (torch.rand((count, 1), generator=generator).to(device) < 0.5) & ~centred.isnan()
    corner = torch.where(focused, centred, anywhere).floor().clamp(0, side - patch).long()

    def cut(pictures: Tensor, index: Tensor, factor: int) -> Tensor:
        along = torch.arange(factor * patch, device=device)
        columns, rows = (factor * corner[:, axis, None] + along for axis in (0, 1))
        return pictures[index[:, None, None], rows[:, :, None], columns[:, None, :]]

    return cut(pairs.low, pick, 1), cut(pairs.truth, pairs.of[pick], FACTOR)


def _clips(folders: list[Path]) -> list[Path]:
    paths = [p for folder in folders for p in sorted(folder.glob("*.mp4")) if not p.stem.startswith("raw")]
    if folders and not paths:
        raise ValueError(f"no clips (*.mp4) in {', '.join(map(str, folders))}")
    return paths


def _train_frames(path: Path, rng: np.random.Generator) -> Iterator[tuple[int, Picture]]:
    step = _STEP_512 if path.stem.endswith("_512") else _STEP
    return picked_frames(path, int(rng.integers(step)), step)


def _dev_frames(path: Path) -> Iterator[tuple[int, Picture]]:
    """A few frames, evenly over the clip."""
    count = max(1, int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)))
    step = max(1, count // _DEV_FRAMES)
    for number, (frame, picture) in enumerate(picked_frames(path, step // 2, step)):
        if number < _DEV_FRAMES:
            yield frame, picture


def _random_qualities(rng: np.random.Generator) -> list[int]:
    coded = rng.integers(QUALITIES[0], QUALITIES[1] + 1, _CODINGS)
    return [int(q) for q in np.where(rng.random(_CODINGS) < _LOSSLESS_SHARE, LOSSLESS, coded)]


def _focus_points(path: Path, folders: list[Path]) -> NDArray[np.float32]:
    """(T, 3, 2) eyes and mouth in 0..1; empty without landmarks. A clip of 512 px is cut as the one of 256 px is."""
    name = f"{path.stem.removesuffix('_512')}.npz"
    found = [folder / name for folder in folders if (folder / name).exists()]
    if not found:
        return np.empty((0, len(_FOCUS), 2), np.float32)
    with np.load(found[0]) as z:
        pick = np.array(_FOCUS)
        steps = np.cumsum(z["d"][:2, pick].astype(np.int32), axis=3)
        points = ((z["base"][:2, pick, None].astype(np.int32) + steps).transpose(3, 1, 2, 0) / z["scale"][:2]).mean(2)
        points[~z["ok"][: len(points)]] = np.nan
    return np.asarray(points, np.float32)


def _pictures(path: Path, arrays: dict[str, NDArray[Any]]) -> list[Picture]:
    """All pictures, truths first. Raises ValueError if the arrays do not fit together."""
    clip, dev, focus, of, quality, ends, data = (arrays[key] for key in _KEYS)
    if not (
        len(clip) == len(dev) == len(focus) > 0
        and len(of) == len(quality)
        and len(ends) == len(clip) + len(of)
        and focus.shape[1:] == (len(_FOCUS), 2)
        and all(a.dtype == np.int64 for a in (of, quality, ends))
        and (of >= 0).all()
        and (of < len(clip)).all()
        and (np.diff(ends, prepend=0) >= 0).all()
        and ends[-1] == len(data)
    ):
        raise ValueError(f"{path.name} is damaged: its arrays do not fit together; prepare it again")
    pictures = []
    for number, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        picture = unpacked(data[begin:end])
        if picture is None:
            raise ValueError(f"{path.name} is damaged: picture {number} cannot be decoded; prepare it again")
        pictures.append(picture)
    return pictures
