"""From samples to packets of speech. No clock, no device: samples come with the time of their capture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shared.sound.codec import PACKET_MS, PACKET_SAMPLES, RATE, Samples, SpeechEncoder
from shared.sound.gate import Gate

_TOLERANCE_MS = 20
"""Packets of one run follow each other without a gap although clocks drift apart by so much."""
_FOLLOW = 0.01
"""Share of the way that a part's time moves the clock of the samples: devices tell times that tremble."""
_JUMP_SECONDS = 0.2
"""More than this is no trembling: sound is missing, or the clock was set."""
_SET_BACK_MS = 1000


class Packet(NamedTuple):
    """A packet of speech, or the beginning of silence."""

    clock_ms: int
    """Capture of its first sample; packets of a run are exactly PACKET_MS apart."""
    data: bytes
    """Empty: nothing is said from here on."""


class Voice:
    """Cuts sound into packets, leaves silence out, and codes the rest.

    Silence is not coded at all, so that encoder and decoder have heard the same when speech begins again.
    """

    def __init__(self, muted: bool = False) -> None:
        self.muted = muted
        """While it is set nothing is sent."""
        self._gate, self._encoder = Gate(), SpeechEncoder()
        self._waiting = np.zeros(0, np.float32)
        self._begin = 0.0
        """Capture of the first sample that waits, in seconds."""
        self._begin_known = False
        self._end_ms: int | None = None
        """Where the packet before ended."""
        self._speaking = False

    def feed(self, samples: Samples, clock: float) -> list[Packet]:
        """The packets that these samples complete; the first was captured at `clock` seconds of the frames' clock."""
        ahead = clock - self._begin - len(self._waiting) / RATE
        if self._begin_known and abs(ahead) <= _JUMP_SECONDS:
            self._begin += _FOLLOW * ahead
        else:
            self._waiting, self._begin, self._begin_known = np.zeros(0, np.float32), clock, True
        self._waiting = np.concatenate([self._waiting, samples])
        packets: list[Packet] = []
        while len(self._waiting) >= PACKET_SAMPLES:
            packets += self._packet(self._waiting[:PACKET_SAMPLES], round(1000 * self._begin))
            self._waiting = self._waiting[PACKET_SAMPLES:]
            self._begin += PACKET_SAMPLES / RATE
        return packets

    def _packet(self, samples: Samples, clock_ms: int) -> list[Packet]:
        opens = self._gate.opens(samples) and not self.muted
        end = self._end_ms
        if end is None or clock_ms < end - _SET_BACK_MS:
            start = clock_ms
        elif self._speaking and abs(clock_ms - end) <= _TOLERANCE_MS:
            start = end
        else:
            start = max(clock_ms, end)
        if opens:
            self._speaking, self._end_ms = True, start + PACKET_MS
            return [Packet(start, self._encoder.encode(samples))]
        ended, self._speaking = self._speaking, False
        return [Packet(start, b"")] if ended else []
