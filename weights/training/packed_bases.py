"""Decoded base layers of `weights.training.bases` as near-lossless video, for packing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.training import video
from weights.training.bases import KINDS

_CRF = {"small": 16.0, "large": 18.0}
"""What the codec has made of them is to be seen, what H.264 adds to it is not."""


@dataclass(frozen=True)
class CodedBases:
    """Where the base pictures of each clip lie."""

    folder: Path
    rows: dict[str, dict[str, list[tuple[int, int, int, int]]]]
    """By kind and clip: row, number of the frame, side, crf"""

    def of(self, name: str) -> ClipBases:
        """Those of a clip."""
        return ClipBases(self.folder, {kind: clips.get(name, []) for kind, clips in self.rows.items()})


@dataclass(frozen=True)
class ClipBases:
    """Base pictures of a clip; small enough to be handed to another process."""

    folder: Path
    rows: dict[str, list[tuple[int, int, int, int]]]

    def packed(self, numbers: Collection[int]) -> dict[str, tuple[list[list[int]], bytes]]:
        """By kind: number, side and crf of each picture of these frames, and their video; no kind without any."""
        out, wanted = {}, set(numbers)
        for kind, rows in self.rows.items():
            some = [row for row in rows if row[1] in wanted]
            if some:
                pictures = _pictures(self.folder, kind)
                frames = list(video.planes_of(pictures[row] for row, _, _, _ in some))
                out[kind] = ([list(row[1:]) for row in some], video.encoded(frames, _CRF[kind]))
        return out


def read_bases(folder: Path | None) -> CodedBases:
    """Of a folder that `weights.training.bases` wrote; none without one. Raises ValueError if it is no such folder."""
    found: dict[str, dict[str, list[tuple[int, int, int, int]]]] = {}
    for kind in KINDS if folder is not None else ():
        assert folder is not None
        clips = defaultdict(list)
        try:
            meta = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
            for row, (clip, number, side, crf) in enumerate(meta["rows"]):
                clips[meta["clips"][clip]].append((row, number, side, crf))
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ValueError(f"no bases in {folder} ({error}): python -m weights.training.bases writes them") from error
        found[kind] = dict(clips)
    return CodedBases(folder or Path(), found)


def _pictures(folder: Path, kind: str) -> NDArray[Any]:
    side = KINDS[kind].side
    pixels = np.memmap(folder / f"{kind}.u8", np.uint8, "r")
    return pixels.reshape(-1, side, side, 3)
