"""The sound that viewers hear: blocks of samples, one feed for all, a track of ordinary WebRTC for each.

Opus by aiortc is no fit for a thin link (96 kbit/s, stereo), but a viewer is on this machine or near it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

RATE = 48_000
"""Samples a second, which is also the clock of Opus in RTP (RFC 7587, section 4.1)."""
BLOCK = RATE // 50
"""Samples of a block: 20 ms, a packet of aiortc's encoder."""
_KEPT = 10
"""Blocks that a slow viewer may be behind; it hears a gap after that, and no growing delay."""

Block = NDArray[np.int16]


class SoundFeed:
    """The last blocks of sound, in their order."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, Block, int]] = deque(maxlen=_KEPT)
        self._news = asyncio.Event()
        self.version = 0
        """Number of the newest block; 0 before the first."""

    def push(self, samples: NDArray[np.float32], at: int) -> None:
        """Takes BLOCK samples, (BLOCK,) float32 in -1..1, to be heard from sample `at` of the monotonic clock on."""
        self.version += 1
        block = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
        self._blocks.append((self.version, block, at))
        news, self._news = self._news, asyncio.Event()
        news.set()

    def clear(self) -> None:
        """Forgets what was not taken: the call is over."""
        self._blocks.clear()

    async def next(self, after: int) -> tuple[int, Block, int]:
        """Number, samples and place of the first block after number `after` that is still there, once there is one."""
        while True:
            news = self._news
            for version, block, at in self._blocks:
                if version > after:
                    return version, block, at
            await news.wait()


class ViewerAudioTrack(MediaStreamTrack):
    """A feed as a viewer's audio track, from what is said next on."""

    kind = "audio"

    def __init__(self, feed: SoundFeed) -> None:
        super().__init__()
        self._feed, self._version, self._at = feed, feed.version, -1

    async def recv(self) -> av.AudioFrame:
        """The next block, as aiortc asks for it; times never go back."""
        if self.readyState != "live":
            raise MediaStreamError
        self._version, block, at = await self._feed.next(self._version)
        frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        self._at = max(at, self._at + BLOCK)
        frame.pts, frame.sample_rate, frame.time_base = self._at, RATE, Fraction(1, RATE)
        return frame
