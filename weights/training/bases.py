"""Base layers of training clips, coded once as a call codes them: `python -m weights.training.bases --help`.

Two layers of each clip go through the real encoder and decoder: a small one, and a large one at the points that calls
use. What a receiver decodes is kept as bytes on the disk, from where training picks it row by row. This
needs PyAV; reading does not.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.models.base_fusion import FADE_SECONDS, base_state
from shared.resampling import resampled
from shared.signals import ended_by_signals
from weights.training.clip_list import chosen_clips
from weights.training.source_cache import picked_frames

FPS = 25.0
"""Frames a second of the clips."""


class Kind(NamedTuple):
    """What layers are coded of every clip."""

    side: int
    """px at which decoded pictures are kept"""
    sides: tuple[int, ...]
    crfs: tuple[int, int]
    steps: tuple[int, ...]
    """Camera frames between two base frames"""
    frames: int | None
    """Of the clip, from its middle"""


KINDS = {
    "small": Kind(128, (128, 128, 128, 96), (58, 67), (2, 2, 2, 3, 4), None),
    "large": Kind(256, (256, 256, 256, 192), (53, 69), (1, 2, 2, 2, 4), None),
}
ODDS = {"small": 0.16, "large": 0.52}
"""Share of the rows that are drawn with a base of each kind; the rest without one."""
STALE = (0.72, 0.88)
"""Share of the rows with the newest base picture, and with that or the one before: others are late in a call, too."""


@dataclass(frozen=True)
class Bases:
    """Decoded base pictures of one kind, sorted by clip and time."""

    pictures: Tensor
    """(M, S, S, 3) uint8"""
    frame: Tensor
    """(M,) index among the frames of all clips"""
    first: Tensor
    """(M,) row with which its clip begins"""
    layer: Tensor
    """(M, 2) float: side and crf it was coded with"""
    latest: Tensor
    """(N,) row of the newest base picture not after each frame, -1 where there is none"""

    @staticmethod
    def load(folder: Path, kind: str, names: Sequence[str], starts: Sequence[int], numbers: NDArray[np.int64]) -> Bases:
        """Of the clips `names`, whose frames lie at `starts` (clips + 1) and have `numbers` (N,) in their clips.

        Pictures of frames that are not there are left out. Raises ValueError if the folder holds no such bases.
        """
        try:
            meta = json.loads((folder / f"{kind}.json").read_text())
            side, rows = int(meta["side"]), np.array(meta["rows"], np.int64).reshape(-1, 4)
            known = list(meta["clips"])
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"no bases in {folder} ({error}): python -m weights.training.bases writes them") from error
        place = {name: at for at, name in enumerate(names)}
        at = {
            (clip, int(numbers[i])): i
            for clip in range(len(names))
            for i in range(int(starts[clip]), int(starts[clip + 1]))
        }
        keep, frames = [], []
        for row, (clip, number, _, _) in enumerate(rows):
            index = at.get((place.get(known[clip], -1), int(number)))
            if index is not None:
                keep.append(row)
                frames.append(index)
        if not keep:
            raise ValueError(f"{folder} has no bases of these clips: it was made from others")
        order = np.argsort(np.array(frames), kind="stable")
        kept, frame = np.array(keep)[order], np.array(frames)[order]
        clip_of = np.searchsorted(np.asarray(starts), frame, side="right") - 1
        newest = np.searchsorted(frame, np.arange(len(numbers)), side="right") - 1
        own = np.searchsorted(np.asarray(starts), np.arange(len(numbers)), side="right") - 1
        newest = np.where((newest >= 0) & (clip_of[newest] == own), newest, -1)
        pixels = torch.from_file(
            str(folder / f"{kind}.u8"), shared=True, size=len(rows) * side * side * 3, dtype=torch.uint8
        )
        pictures, low = pixels.view(len(rows), side, side, 3), int(kept[0])
        whole = np.array_equal(kept, np.arange(low, low + len(kept)))  # then they can stay on the disk
        pictures = pictures[low : low + len(kept)] if whole else pictures[torch.from_numpy(kept)]
        return Bases(
            pictures, torch.from_numpy(frame), torch.from_numpy(np.searchsorted(clip_of, clip_of)),
            torch.from_numpy(rows[kept][:, 2:].astype(np.float32)), torch.from_numpy(newest),
        )  # fmt: skip

    def to(self, device: torch.device) -> Bases:
        """A copy on `device`."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})

    def before(self, driving: Tensor, back: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Rows for driving frames (B,), `back` (B,) pictures older than the newest, and ages in seconds.

        Frames without one have a row at random, and an age beyond all.
        """
        newest = self.latest[driving]
        row = torch.maximum(newest - back, self.first[newest.clamp_min(0)]).clamp_min(0)
        age = (numbers[driving] - numbers[self.frame[row]]).float() / FPS
        return row, torch.where(newest >= 0, age, torch.full_like(age, 2 * FADE_SECONDS))


def presence(age: Tensor) -> Tensor:
    """How much base pictures of these ages in seconds count, as `shared.models.base_fusion.BasePicture` has it."""
    return ((FADE_SECONDS - age) / (FADE_SECONDS - 0.2)).clamp(0, 1)


def base_states(there: Tensor, age: Tensor, layer: Tensor) -> Tensor:
    """(B, STATE) of base pictures with presence (B,), age (B,) in seconds, and (B, 2) side and crf."""
    return torch.stack(base_state(there, age, *layer.unbind(1)), 1)


def make_bases(
    folders: Sequence[Path], without: Sequence[str], out: Path, kind: str, limit: int | None, seed: int
) -> int:
    """Codes and decodes a layer of each clip into `out`; the number of pictures comes back."""
    from shared.progress import Bar  # a machine that only trains may have no tqdm

    clips, chosen, rows = chosen_clips(folders, without, limit), KINDS[kind], []
    out.mkdir(parents=True, exist_ok=True)
    part = out / f"{kind}.part"
    with part.open("wb") as file:
        for at, (path, _) in enumerate(Bar(iterable=clips, desc=f"coding {kind} bases", unit="clip")):
            rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode()), len(kind)])
            for number, side, crf, picture in layer(path, chosen, rng):
                rows.append((at, number, side, crf))
                file.write(np.ascontiguousarray(resampled(picture, chosen.side)).tobytes())
    part.replace(out / f"{kind}.u8")
    names = [path.stem for path, _ in clips]
    (out / f"{kind}.json").write_text(json.dumps({"side": chosen.side, "clips": names, "rows": rows}))
    return len(rows)


def layer(path: Path, kind: Kind, rng: np.random.Generator) -> list[tuple[int, int, int, NDArray[np.uint8]]]:
    """(number of its frame, side, crf, decoded picture) of one random layer of a clip."""
    from shared.codec.base_video import BaseDecoder, BaseEncoder

    side, step = int(rng.choice(kind.sides)), int(rng.choice(kind.steps))
    crf = int(rng.integers(kind.crfs[0], kind.crfs[1] + 1))
    frames = list(picked_frames(path, int(rng.integers(step)), step))
    if kind.frames is not None:
        count = kind.frames // step
        first = int(rng.integers(max(1, len(frames) - count + 1)))
        frames = frames[first : first + count]
    encoder, decoder, out = BaseEncoder(side, crf), BaseDecoder(side), []
    for number, frame in frames:
        coded = encoder.encode(resampled(frame, side))
        if coded is not None:
            picture = decoder.decode_key(coded.data) if coded.key else decoder.decode(coded.data)
            out.append((number, side, crf, picture))
    return out


@ended_by_signals("weights.training.bases", "interrupted; start it again")
def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.bases", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of square training clips")
    parser.add_argument("--without", nargs="*", default=[], metavar="COLUMN=TEXT",
                        help="leave out clips of which clips.csv says so, as upstream=Multiface")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to write")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips of each folder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        for kind in KINDS:
            count = make_bases(args.clips, args.without, args.out, kind, args.limit, args.seed)
            print(f"{args.out}: {count} {kind} bases")
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.bases: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
