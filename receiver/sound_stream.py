"""The sound of a recorded film: AAC, which every player knows."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from shared.sound.codec import RATE, Samples

BIT_RATE = 48_000
_FRAME = 1024
_PRIMING = 1024
"""Samples that AAC puts in front. A fragmented file cannot say that they are to be skipped, and the pictures would be
shifted for them: as many of the first samples are left out instead."""


class SoundStream:
    """One track of a container, sample after sample from the film's beginning."""

    def __init__(self, container: av.container.OutputContainer) -> None:
        """Adds the track; before the container's first packet."""
        stream = container.add_stream("aac", rate=RATE)
        stream.bit_rate, stream.layout, stream.format = BIT_RATE, "mono", "fltp"
        self._container, self._stream = container, stream
        self._waiting = np.zeros(0, np.float32)
        self._skip = _PRIMING
        self._at = _PRIMING

    def write(self, samples: Samples) -> None:
        """Appends samples. Raises FFmpegError or OSError if the disk refuses them."""
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self._waiting = np.concatenate([self._waiting, samples[skipped:]])
        while len(self._waiting) >= _FRAME:
            self._encode(self._waiting[:_FRAME])
            self._waiting = self._waiting[_FRAME:]

    def finish(self) -> None:
        """Writes what waits. Raises FFmpegError or OSError."""
        if len(self._waiting):
            self._encode(self._waiting)
            self._waiting = self._waiting[:0]
        self._container.mux(self._stream.encode(None))

    def _encode(self, samples: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += len(samples)
        self._container.mux(self._stream.encode(frame))
