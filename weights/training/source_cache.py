"""Sources as the wire degrades them, made once: `python -m weights.training.source_cache --help`.

Every 24th frame or so of each clip goes through the picture codec at a random size and quality, and what a receiver
decodes is kept. The machine that trains may lack the encoder: reading the cache needs numpy, opencv and torch only.
"""

from __future__ import annotations

import argparse
import sys
import time
import zipfile
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
from shared.signals import ended_by_signals

SIZES, ODDS = (64, 128, 256), (1, 2, 3)
"""Sides that a sender may choose, and how often each occurs in the cache."""
QUALITIES = (35, 85)
"""Lowest and highest quality of the picture codec, both included; a call's default is 65."""
STEP = 24
"""A frame a second or so: neighbouring frames of a talking head are nearly alike."""

_GRID = 6
"""First frames are multiples of this: training on every 2nd, 3rd or 6th frame then has the same frame uncoded."""
_JPEG_QUALITY = 96
_PNG_SIDE, _PNG_WORTH = 128, 1.25
"""A picture up to this side in px is kept as a PNG if that has at most so many times the bytes of the JPEG."""
_KEYS = ("clip", "index", "frame", "ends", "data")


def clip_paths(folder: Path) -> list[Path]:
    """The square clips of a folder, sorted; `raw_*` and `*_512` are left out. Raises ValueError if there is none."""
    paths = [p for p in sorted(folder.glob("*.mp4")) if not p.stem.startswith("raw") and "_512" not in p.stem]
    if not paths:
        raise ValueError(f"no clips (*.mp4) in {folder}")
    return paths


def picked_frames(path: Path, start: int, step: int) -> Iterator[tuple[int, Picture]]:
    """(number, frame) of every `step`-th frame from `start`; others are decoded but not converted."""
    capture = cv2.VideoCapture(str(path))
    number = 0
    while capture.grab():
        if number >= start and (number - start) % step == 0:
            ok, frame = capture.retrieve()
            if not ok:
                break
            yield number, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        number += 1
    if number == 0:
        raise ValueError(f"{path.name}: no frame could be read")


def through_the_codec(picture: Picture, quality: Any) -> Picture:
    """What a receiver decodes of a picture that is sent at this quality (0 to 100, or "max")."""
    # Here and not above: a machine that only reads the cache has no PyAV.
    from shared.codec.picture import decode_picture, encode_picture

    height, width = picture.shape[:2]
    return decode_picture(*encode_picture(picture, quality), width, height)


def packed(picture: Picture) -> bytes:
    """A JPEG that hardly loses anything, or a PNG if the picture is small and that costs little more."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, *full_colour])[1].tobytes()
    if picture.shape[0] > _PNG_SIDE:
        return jpeg
    png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return png if len(png) <= _PNG_WORTH * len(jpeg) else jpeg


def unpacked(data: Picture) -> Picture | None:
    """The picture of `packed`; None if the bytes are something else."""
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def write_cache(path: Path, **arrays: Any) -> None:
    """An npz file; while it is being written nothing that reads `path` sees half of it."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def read_cache(path: Path, keys: tuple[str, ...], maker: str) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file. Raises ValueError if it is not there, damaged or not one that `maker` wrote."""
    try:
        with np.load(path) as file:
            return {key: file[key] for key in keys}
    except FileNotFoundError as error:
        raise ValueError(f"there is no {path}: write it with python -m {maker}") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} is damaged or another file ({error}): write it with python -m {maker}"
        ) from error


def make_cache(clips: Path, out: Path, step: int = STEP, limit: int | None = None, seed: int = 0) -> int:
    """Writes the cache of a folder of clips and says how it gets on; the number of sources comes back."""
    paths = clip_paths(clips)[:limit]
    out.parent.mkdir(parents=True, exist_ok=True)
    status = StatusLine()
    index, frames, pictures = [], [], []
    for number, path in enumerate(paths):
        # A generator for each clip: what becomes of it does not depend on the clips before.
        rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode())])
        for frame, picture in picked_frames(path, int(rng.integers(step)) // _GRID * _GRID, step):
            size = int(rng.choice(SIZES, p=np.array(ODDS) / sum(ODDS)))
            quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
            pictures.append(packed(through_the_codec(resampled(picture, size), quality)))
            index.append(number)
            frames.append(frame)
        status.show(f"{number + 1}/{len(paths)} clips, {len(pictures)} sources", time.monotonic())
    status.say(f"{len(paths)} clips, {len(pictures)} sources")
    if not pictures:
        raise ValueError(f"no clip in {clips} has as many as {step} frames: take a smaller --step")
    write_cache(
        out, clip=np.array([p.stem for p in paths]), index=np.array(index, np.int64), frame=np.array(frames, np.int64),
        ends=np.cumsum([len(p) for p in pictures], dtype=np.int64), data=np.frombuffer(b"".join(pictures), np.uint8),
    )  # fmt: skip
    return len(pictures)


@dataclass(frozen=True)
class WireSources:
    """Sources as a receiver shows them, sorted by clip: those of clip c are `starts[c]:starts[c + 1]`, maybe none."""

    frames: Tensor
    """(M, S, S, 3) uint8, enlarged to the training size."""
    clip: Tensor
    """(M,) int64, index into the names given to `load`."""
    frame: Tensor
    """(M,) int64, number of the frame in its clip, at the clip's own rate."""
    starts: Tensor
    """(clips + 1,) int64."""

    def to(self, device: torch.device) -> WireSources:
        """A copy on `device`."""
        return WireSources(*(each.to(device) for each in (self.frames, self.clip, self.frame, self.starts)))

    @staticmethod
    def load(path: Path, names: list[str], size: int) -> WireSources:
        """The sources of the clips `names`, enlarged bicubically to `size` px (shrunk by area); others are left out.

        Raises ValueError if the file is damaged, not such a cache, or has none of these clips.
        """
        arrays = read_cache(path, _KEYS, "weights.training.source_cache")
        _check(path, arrays)
        place = {name: number for number, name in enumerate(names)}
        clip = np.array([place.get(str(name), -1) for name in arrays["clip"]], np.int64)[arrays["index"]]
        order = np.argsort(clip, kind="stable")
        order = order[clip[order] >= 0]
        if not len(order):
            raise ValueError(f"{path.name} has no source of these clips: it was made from another folder")
        frames = np.empty((len(order), size, size, 3), np.uint8)
        begins = np.concatenate([[0], arrays["ends"][:-1]])
        for row, source in enumerate(order):
            picture = unpacked(arrays["data"][begins[source] : arrays["ends"][source]])
            if picture is None:
                raise ValueError(f"{path.name} is damaged: picture {source} cannot be decoded; write it again")
            frames[row] = resampled(picture, size)
        starts = np.searchsorted(clip[order], np.arange(len(names) + 1))
        return WireSources(
            torch.from_numpy(frames), torch.from_numpy(clip[order]), torch.from_numpy(arrays["frame"][order]),
            torch.from_numpy(starts.astype(np.int64)),
        )  # fmt: skip


def _check(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Raises ValueError unless the arrays fit together."""
    clip, index, frame, ends, data = (arrays[key] for key in _KEYS)
    whole = all(a.ndim == 1 and a.dtype == np.int64 and len(a) == len(index) for a in (index, frame, ends))
    if not (
        whole and clip.ndim == 1 and clip.dtype.kind == "U" and data.ndim == 1 and data.dtype == np.uint8 and len(index)
        and index.min() >= 0 and index.max() < len(clip) and np.all(np.diff(ends, prepend=0) >= 0)
        and ends[-1] == len(data)
    ):  # fmt: skip
        raise ValueError(f"{path.name} is damaged: its arrays do not fit together; write it again")


@ended_by_signals("weights.training.source_cache", "interrupted, nothing written")
def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.training.source_cache",
        description="Sends frames of clips through the picture codec at random sizes and qualities; keeps the results.",
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder of square training clips (NAME.mp4)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="the cache to write")
    parser.add_argument("--step", type=int, default=STEP, help=f"use every STEP-th frame (default: {STEP})")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.step < 1:
        parser.error("--step is at least 1")
    try:
        count = make_cache(args.clips, args.out, args.step, args.limit, args.seed)
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.source_cache: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {count} sources, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
