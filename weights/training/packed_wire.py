"""Coded sources of `weights.training.source_cache` as near-lossless video, for packing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.training import video
from weights.training.source_cache import _KEYS, read_cache, unpacked

_CRF = 12.0
"""What the codec has made of them is to be seen, what H.264 adds to it is not."""
_TOGETHER = 256
"""Pictures a video: one process unpacks one."""


@dataclass(frozen=True)
class CodedSources:
    """Some caches as one."""

    sources: dict[str, list[tuple[int, NDArray[np.uint8]]]]
    """Clip to (frame, bytes of the picture)."""

    def frames_of(self, name: str) -> tuple[int, ...]:
        """The frames of a clip that there are coded sources of."""
        return tuple(frame for frame, _ in self.sources.get(name, ()))

    def packed(self, names: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
        """Entries of the manifest and members, of the sources of these clips."""
        by_side = defaultdict(list)
        for name in names:
            for frame, data in self.sources.get(name, ()):
                picture = unpacked(data)
                if picture is None:
                    raise ValueError(f"a coded source of {name} cannot be decoded: write the cache again")
                by_side[picture.shape[0]].append((name, frame, picture))
        entries, members = [], {}
        for side, rows in sorted(by_side.items()):
            for at in range(0, len(rows), _TOGETHER):
                some = rows[at : at + _TOGETHER]
                member = f"wire/{side}-{at}.mp4"
                frames = list(video.planes_of(picture for _, _, picture in some))
                members[member] = video.encoded(frames, _CRF, intra=True)
                entries.append({"member": member, "clips": [n for n, _, _ in some], "frames": [f for _, f, _ in some]})
        return entries, members


def read_coded(paths: Sequence[Path]) -> CodedSources:
    """The sources of some caches. Raises ValueError if one is damaged."""
    sources = defaultdict(list)
    for path in paths:
        arrays = read_cache(path, _KEYS, "weights.training.source_cache")
        begins = np.concatenate([[0], arrays["ends"][:-1]])
        for index, frame, begin, end in zip(arrays["index"], arrays["frame"], begins, arrays["ends"], strict=True):
            sources[str(arrays["clip"][index])].append((int(frame), arrays["data"][begin:end]))
    return CodedSources(dict(sources))
