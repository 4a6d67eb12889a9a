"""Rows to train FacEnhance on: true frames, and the base layer of 64 px as a call codes it, made once from clips."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from shared.models.facenhance.network import LOW_SIDE, enlarged
from shared.resampling import resampled
from weights.training.clip_list import chosen_clips
from weights.training.source_cache import picked_frames

STEP = 2
"""Camera frames of 25 a second from one base frame to the next."""
CRFS = (36, 62)
"""Of the base layers, lowest and highest; one of each clip, at random. At 64 px they take 2 to 12 kbit/s."""
FIRST_SOURCE = 0.4
"""Share of the rows whose identity picture is the clip's first frame; the others have any other one of it."""
SOFT, IDENTITY = 0.25, 0.1
"""Shares of the rows whose previous frame is the enlarged small one, or the identity picture: what drawing begins with,
and comes back to when it goes wrong."""


class Row(NamedTuple):
    """A batch, pictures in -1..1."""

    clean: Tensor
    """(B, 3, S, S)"""
    identity: Tensor
    """(B, 3, S, S)"""
    previous: Tensor
    """(B, 3, S, S), without noise"""
    low: Tensor
    """(B, 3, 64, 64)"""


@dataclass(frozen=True)
class Videos:
    """Clips at 12.5 frames a second, one after the other, read from the disk as they are needed."""

    frames: Tensor
    """(N, S, S, 3) uint8"""
    low: Tensor
    """(N, 64, 64, 3) uint8, decoded base pictures of them"""
    starts: list[int]
    """(clips + 1) where each begins"""
    people: list[list[int]]
    """Clips of each person"""

    @staticmethod
    def load(folder: Path) -> Videos:
        """What `make_videos` wrote. Raises ValueError if it is not there or damaged."""
        try:
            meta = json.loads((folder / "videos.json").read_text())
            starts, people, side = list(meta["starts"]), list(meta["people"]), int(meta["side"])
            count = starts[-1]
            return Videos(
                _mapped(folder / "frames.u8", count, side), _mapped(folder / "low.u8", count, LOW_SIDE), starts, people
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ValueError(f"no videos in {folder} ({error}): take another --out, or empty this one") from error

    def batch(self, count: int, random: np.random.Generator, soft: bool = True) -> Row:
        """Random rows, people alike; `soft` False: the previous frame is always the true one."""
        rows = []
        for _ in range(count):
            clip = int(random.choice(self.people[int(random.integers(len(self.people)))]))
            first, end = self.starts[clip], self.starts[clip + 1]
            at = int(random.integers(first + 1, end))
            identity = first if random.random() < FIRST_SOURCE else int(random.integers(first, end))
            rows.append((at, identity))
        now, source = torch.tensor(rows).unbind(1)
        clean, known, low = planes(self.frames[now]), planes(self.frames[source]), planes(self.low[now])
        previous = planes(self.frames[now - 1])
        if soft:
            kind = torch.from_numpy(random.random(count)).float()[:, None, None, None]
            before = enlarged(planes(self.low[now - 1]), clean.shape[-1])
            previous = torch.where(kind < SOFT, before, torch.where(kind < SOFT + IDENTITY, known, previous))
        parts = (clean, known, previous, low)
        mirrored = torch.from_numpy(random.random(count) < 0.5)[:, None, None, None]
        return Row(*(torch.where(mirrored, each.flip(3), each) for each in parts))

    def excerpt(self, clip: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """First frame (1, 3, S, S), and true (T, 3, S, S) and small (T, 3, 64, 64) ones of a clip, from its middle."""
        first, end = self.starts[clip], self.starts[clip + 1]
        begin = max(first, (first + end - frames) // 2)
        chosen = slice(begin, min(end, begin + frames))
        return planes(self.frames[first : first + 1]), planes(self.frames[chosen]), planes(self.low[chosen])


def planes(pictures: Tensor) -> Tensor:
    """(B, 3, S, S) in -1..1 of bytes (B, S, S, 3)."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def make_videos(
    folders: Sequence[Path], without: Sequence[str], out: Path, side: int, limit: int | None, seed: int
) -> Videos:
    """Reads clips, codes and decodes their base layers, and writes both to `out`, or takes what is there already."""
    from shared.progress import Bar  # a machine that only trains may have no tqdm

    wanted = {"side": side, "seed": seed, "without": list(without), "limit": limit}
    done = out / "videos.json"
    if done.exists() and {key: json.loads(done.read_text()).get(key) for key in wanted} == wanted:
        return Videos.load(out)
    out.mkdir(parents=True, exist_ok=True)
    clips, starts = chosen_clips(folders, without, limit), [0]
    people: dict[str, list[int]] = {}
    with (out / "frames.u8").open("wb") as frames, (out / "low.u8").open("wb") as small:
        for path, person in Bar(iterable=clips, desc="coding clips", unit="clip"):
            pictures, low = coded_video(path, side, np.random.default_rng([seed, zlib.crc32(path.stem.encode())]))
            if len(pictures) < 3:
                continue
            frames.write(np.stack(pictures).tobytes())
            small.write(np.stack(low).tobytes())
            people.setdefault(person, []).append(len(starts) - 1)
            starts.append(starts[-1] + len(pictures))
    if len(starts) == 1:
        raise ValueError("no clip has three frames of a base layer: give longer ones")
    done.write_text(json.dumps({**wanted, "starts": starts, "people": list(people.values())}))
    return Videos.load(out)


def coded_video(
    path: Path, side: int, random: np.random.Generator, crf: int | None = None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames at 12.5 a second, (side, side, 3), and what a receiver decodes of their base layer, (64, 64, 3).

    `crf`: of the base layer; None: any of CRFS.
    """
    from shared.codec.base_video import BaseDecoder, BaseEncoder  # a machine that trains may have no PyAV

    chosen = int(random.integers(CRFS[0], CRFS[1] + 1)) if crf is None else crf
    encoder, decoder = BaseEncoder(LOW_SIDE, chosen), BaseDecoder(LOW_SIDE)
    frames, low = [], []
    for _, frame in picked_frames(path, 0, STEP):
        coded = encoder.encode(resampled(frame, LOW_SIDE))
        if coded is not None:
            low.append(decoder.decode_key(coded.data) if coded.key else decoder.decode(coded.data))
            frames.append(resampled(frame, side))
    encoder.close()
    return frames, low


def _mapped(path: Path, count: int, side: int) -> Tensor:
    size = count * side * side * 3
    if path.stat().st_size != size:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {size}")
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8).view(count, side, side, 3)
